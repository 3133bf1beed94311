"""How often the masks of a set of devices collide (eq. 19): expected from what devices announce, and measured.

A cell is a part of B within which a device's positions count as drawn at random: a layer (``expected``) or an output
row (``rows``). For a set of devices two numbers per cell suffice: the probability that a position is used by none of
them, P0, and by at most one, P0 + P1. The collision rate is 1 - P0 - P1, averaged over cells by their positions. Both
numbers are integers in units of 2^-31, so a set has the same rate on every machine. The products below are exact and
rounded down once, so rounding never lowers a rate when a set grows. This is why all clustering algorithms agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshtune.adapter.mask import collision_rate
from meshtune.errors import UserError
from meshtune.topology.config import TieBreak

DENSITY = 65535
"""The announced integer that stands for density 1."""
STEP = 1000
"""Collision rates are distinguished in steps of 1/STEP."""
_BITS = 31
_ONE = 1 << _BITS
_AT_ONCE = 1 << 21  # cells per batch, which keeps temporary arrays within tens of megabytes


class CollisionState(NamedTuple):
    """The free positions of a set of devices, cell by cell, in units of 2^-31.

    Attributes:
        none: (..., cells) uint32, the probability P0 that no device uses a position.
        clear: (..., cells) uint32, the probability P0 + P1 that at most one does.
    """

    none: NDArray[np.uint32]
    clear: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Use:
    """What devices announce about their masks: how many positions of each cell they use.

    Attributes:
        announced: (devices, cells) uint16, the used part of each cell; uint8 if ``whole`` fits.
        whole: the announced number that stands for a whole cell.
        weights: (cells,) int64, positions of each cell.
    """

    announced: NDArray[np.unsignedinteger[Any]]
    whole: int
    weights: NDArray[np.int64]

    def state(self, rows: Any = slice(None)) -> CollisionState:
        """Return the state (len(rows), cells) of single devices: P0 = 1 - s, P1 = s."""
        return alone(self.announced[rows], self.whole)


def expected(densities: ArrayLike, sizes: Sequence[int]) -> Use:
    """Return the use announced per layer, as in the paper.

    Args:
        densities: (devices, layers) share of each layer's positions that a device trains, 0 to 1; announced as the
            nearest multiples of 1/65535.
        sizes: d r of every layer.

    Raises:
        UserError: a density is outside [0, 1], or the shapes do not fit.
    """
    array = np.asarray(densities, dtype=np.float64)
    weights = _weights(sizes)
    if array.ndim != 2 or array.shape[1] != weights.size:
        raise UserError(
            f"densities have the shape {array.shape}, there are {weights.size} layers: give one row a device and one "
            "column a layer"
        )
    bad = ~((array >= 0) & (array <= 1))  # also true for NaN
    if bad.any():
        device, layer = np.argwhere(bad)[0]
        raise UserError(
            f"density {array[device, layer]:g} of layer {layer} in row {device} is not a share: give 0 to 1"
        )
    announced = np.rint(array * DENSITY).astype(np.uint16)
    return Use(announced, DENSITY, weights)


def rows(counts: ArrayLike, rank: int) -> Use:
    """Return the use announced per output row, for masks that concentrate on the same rows.

    Args:
        counts: (devices, output rows of all layers) positions that a device trains in each row of B, 0 to ``rank``.
        rank: positions of a row.

    Raises:
        UserError: a count is outside 0 to ``rank``, or the shape does not fit.
    """
    array = np.asarray(counts)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"row counts are {array.dtype} of shape {array.shape}: give integers, one row a device")
    if not 1 <= rank <= DENSITY:
        raise UserError(f"rank {rank} cannot be announced: give 1 to {DENSITY}")
    bad = (array < 0) | (array > rank)
    if bad.any():
        device, row = np.argwhere(bad)[0]
        raise UserError(
            f"device row {device} uses {array[device, row]} positions of output row {row}, which has {rank}: "
            f"give counts of 0 to {rank}"
        )
    return Use(array.astype(np.uint8 if rank <= 255 else np.uint16), rank, _weights([rank] * array.shape[1]))


def of_masks(masks: Sequence[Sequence[NDArray[np.int64]]], sizes: Sequence[int], rank: int, kind: str) -> Use:
    """Return the use that devices announce for their masks.

    Args:
        masks: per device, per layer, the sorted flat positions (row * rank + column) it trains.
        sizes: d r of every layer.
        rank: positions of an output row.
        kind: ``expected``: per layer; ``rows``: per output row.
    """
    if kind == "expected":
        return expected([[len(m) / size for m, size in zip(mask, sizes, strict=True)] for mask in masks], sizes)
    counts = [
        np.concatenate([np.bincount(m // rank, minlength=size // rank) for m, size in zip(mask, sizes, strict=True)])
        for mask in masks
    ]
    return rows(np.stack(counts), rank)


def _weights(sizes: Sequence[int]) -> NDArray[np.int64]:
    weights = np.asarray(sizes, dtype=np.int64)
    if weights.ndim != 1 or weights.size == 0 or weights.min() < 1:
        raise UserError("layer sizes are empty or not positive: give d r of every layer")
    if int(weights.sum()) >= 1 << 32:
        raise UserError(f"{int(weights.sum())} positions are too many to count collisions in: give fewer than 2^32")
    return weights


def alone(announced: NDArray[np.unsignedinteger[Any]], whole: int) -> CollisionState:
    """Return the state (..., cells) of single devices from what they announced (..., cells)."""
    free = whole - announced.astype(np.int64)
    none = (free * _ONE // whole).astype(np.uint32)
    return CollisionState(none, np.full_like(none, _ONE))


def merge(a: CollisionState, b: CollisionState) -> CollisionState:
    """Return the state of the union of two disjoint sets: P0 = P0a P0b, P1 = P1a P0b + P0a P1b (eq. 19, stepwise)."""
    none = (a.none.astype(np.int64) * b.none) >> _BITS
    return CollisionState(none.astype(np.uint32), _clear(a, b).astype(np.uint32))


def replay(states: Mapping[int, CollisionState], merges: Sequence[tuple[int, int]], head: int) -> CollisionState:
    """Return the state of cluster ``head`` after ``merges``, from its members' states (cells,)."""
    left = dict(states)
    for low, high in merges:
        left[low] = merge(left[low], left.pop(high))
    return left[head]


def _clear(a: CollisionState, b: CollisionState) -> NDArray[np.int64]:
    # P0a (P0b + P1b) + P1a P0b: below 2^63 and increasing in all four, so a larger set never has more.
    free = a.none.astype(np.int64)
    once = a.clear - free
    return np.asarray((free * b.clear + once * b.none) >> _BITS, dtype=np.int64)


def collided(clear: NDArray[Any], weights: NDArray[np.int64]) -> Any:
    """Return the expected number of collided positions (...), in units of 2^-31, from ``clear`` (..., cells)."""
    return _ONE * int(weights.sum()) - clear.astype(np.int64, copy=False) @ weights


def merged(a: CollisionState, b: CollisionState, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the collided positions (n,), as :func:`collided`, if ``a`` were merged with each ``b`` (n, cells).

    ``a`` is one set (cells,), or one set for each ``b`` (n, cells).
    """
    many = b.none.shape[0]
    found = np.empty(many, dtype=np.int64)
    chunk = max(1, _AT_ONCE // weights.size)
    for start in range(0, many, chunk):
        part = slice(start, start + chunk)
        left = a if a.none.ndim == 1 else CollisionState(a.none[part], a.clear[part])
        found[part] = collided(_clear(left, CollisionState(b.none[part], b.clear[part])), weights)
    return found


def rate(collisions: Any, weights: NDArray[np.int64]) -> Any:
    """Return the collision rate S (0 to 1) of that many collided positions: eq. 19, layers weighted by d r."""
    return collisions / (_ONE * int(weights.sum()))


def level(collisions: Any, weights: NDArray[np.int64]) -> Any:
    """Return the collision rate in whole steps of 1/1000; rates within one step count as equal."""
    return collisions // (_ONE * int(weights.sum()) // STEP)


def order(collisions: Any, weights: NDArray[np.int64], tie_break: TieBreak) -> Any:
    """Return that by which pairs of clusters merge first: steps of the rate, or with ``none`` the rate itself.

    With ``energy`` the transmit energy decides within a step; with ``none`` nothing does but the clusters' ids.
    """
    return level(collisions, weights) if tie_break == "energy" else collisions


def measured(masks: Sequence[Sequence[NDArray[np.int64]]], sizes: Sequence[int]) -> float:
    """Return the actual share of positions that two or more of the masks use.

    Args:
        masks: per device, per layer, the sorted flat positions (row * r + column) it trains.
        sizes: d r of every layer.

    Raises:
        UserError: a mask has another number of layers, or a position outside its layer.
    """
    _weights(sizes)
    for device, mask in enumerate(masks):
        if len(mask) != len(sizes):
            raise UserError(f"mask {device} has {len(mask)} layers, there are {len(sizes)}: masks of another model")
        for layer, (positions, size) in enumerate(zip(mask, sizes, strict=True)):
            if positions.size and not 0 <= int(positions.min()) <= int(positions.max()) < size:
                raise UserError(
                    f"mask {device} has position {int(positions.max())} in layer {layer}, which has {size}: masks of "
                    "another model or rank"
                )
    return collision_rate(masks, sizes)
