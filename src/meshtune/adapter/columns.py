"""Positions of an expansion B whose last columns belong to an expert that all groups train.

B is (d, r); a position is row * r + column. Its first r - c columns follow the group's own rows of A, its last c
columns the rows that all groups have in common.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


def joined(own: Positions, common: Positions, rank: int, common_rows: int) -> Positions:
    """Return positions of B (d, r), ascending, from positions of its parts (d, r - c) and (d, c).

    Args:
        own: positions in the group's part.
        common: positions in the part of all groups.
        rank: r.
        common_rows: c.
    """
    columns = rank - common_rows
    mine = own // columns * rank + own % columns
    theirs = common // common_rows * rank + columns + common % common_rows
    return np.sort(np.concatenate([mine, theirs]))


def parted(positions: Positions, rank: int, common_rows: int) -> tuple[Positions, Positions]:
    """Return the positions of both parts, (d, r - c) and (d, c): the inverse of :func:`joined`."""
    columns = rank - common_rows
    row, column = np.divmod(positions, rank)
    mine = column < columns
    return (row * columns + column)[mine], (row * common_rows + column - columns)[~mine]


def is_common(positions: Positions, rank: int, common_rows: int) -> NDArray[np.bool_]:
    """Return which positions are in the part of all groups; they may be those of several layers, concatenated."""
    found: NDArray[np.bool_] = positions % rank >= rank - common_rows
    return found
