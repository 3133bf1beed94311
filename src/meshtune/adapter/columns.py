"""Positions of an expansion B over two projections: a group's own rows, then the rows that all groups have in common.

B is (d, r + c). A position is row * (r + c) + column; its first r columns belong to the group, the last c to all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


def joined(own: Positions, common: Positions, rank: int, common_rows: int) -> Positions:
    """Return positions of B (d, r + c), ascending, from positions of its parts (d, r) and (d, c).

    Args:
        own: positions in the group's part.
        common: positions in the part of all groups.
        rank: r.
        common_rows: c.
    """
    rows = rank + common_rows
    mine = own // rank * rows + own % rank
    theirs = common // common_rows * rows + rank + common % common_rows
    return np.sort(np.concatenate([mine, theirs]))


def parted(positions: Positions, rank: int, common_rows: int) -> tuple[Positions, Positions]:
    """Return the positions of both parts, (d, r) and (d, c): the inverse of :func:`joined`."""
    rows = rank + common_rows
    row, column = np.divmod(positions, rows)
    mine = column < rank
    return (row * rank + column)[mine], (row * common_rows + column - rank)[~mine]


def is_common(positions: Positions, rank: int, common_rows: int) -> NDArray[np.bool_]:
    """Return which positions are in the part of all groups; they may be those of several layers, concatenated."""
    found: NDArray[np.bool_] = positions % (rank + common_rows) >= rank
    return found
