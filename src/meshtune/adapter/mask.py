"""Static masks of B: which positions a device trains, how a group agrees on one mask, how it is flattened and packed.

A mask is, per layer, the sorted flat positions (row * r + column) of B (d, r) that exist (eq. 3, 18).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.errors import MeshtuneError


def top_positions(score: Any, count: int) -> NDArray[np.int64]:
    """Return the positions of the ``count`` largest entries of ``score`` (n,), ascending; ties: lower position first.

    Args:
        score: numpy array or CPU tensor.
        count: how many, 0 to n.
    """
    values = np.asarray(score)
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    if count >= values.size:
        return np.arange(values.size, dtype=np.int64)
    edge = np.partition(values, values.size - count)[values.size - count]
    above = np.flatnonzero(values > edge)
    level = np.flatnonzero(values == edge)[: count - above.size]
    return np.sort(np.concatenate([above, level])).astype(np.int64)


def vote(
    masks: Sequence[tuple[int, Sequence[NDArray[np.int64]]]], sizes: Sequence[int], least: bool = False
) -> list[NDArray[np.int64]]:
    """Return the mask that a group agrees on: the positions with most votes, layer by layer.

    Every layer keeps as many positions as in the first mask, that of the lowest device id. Ties go to positions in that
    mask, then to the lower position. Only masks are compared, never scores.

    Args:
        masks: (device id, mask) of every member.
        sizes: d r of every layer.
        least: the first mask is the one with the fewest positions, then of the lowest device id.
    """
    ordered = sorted(masks, key=lambda pair: (sum(mask.size for mask in pair[1]) if least else 0, pair[0]))
    first = ordered[0][1]
    agreed = []
    for layer, size in enumerate(sizes):
        votes = np.zeros(size, dtype=np.int64)
        for _, mask in ordered:
            votes[mask[layer]] += 2
        votes[first[layer]] += 1
        agreed.append(top_positions(votes, first[layer].size))
    return agreed


def pack(mask: Sequence[NDArray[np.int64]], sizes: Sequence[int]) -> NDArray[np.uint8]:
    """Return the mask as one bitmap, layer after layer, eight positions per byte, first position in the highest bit."""
    bits = np.zeros(sum(sizes), dtype=np.uint8)
    bits[join(mask, sizes)] = 1
    return np.packbits(bits)


def unpack(bitmap: NDArray[np.uint8], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """The inverse of :func:`pack`.

    Raises:
        MeshtuneError: the bitmap's length does not fit the layers, or bits after the last position are set.
    """
    total = sum(sizes)
    if bitmap.size != (total + 7) // 8:
        raise MeshtuneError(f"a mask of {bitmap.size} bytes does not fit {total} positions: another model or rank")
    bits = np.unpackbits(bitmap)
    if bits[total:].any():
        raise MeshtuneError("a mask has positions beyond its end: it is damaged")
    return part(np.flatnonzero(bits).astype(np.int64), sizes)


def join(mask: Sequence[NDArray[np.int64]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return the mask as positions in the concatenation of all layers' B, ascending."""
    starts = [0, *itertools.accumulate(sizes)]
    return np.concatenate([np.empty(0, np.int64), *(p + s for p, s in zip(mask, starts[:-1], strict=True))])


def part(positions: NDArray[np.int64], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """The inverse of :func:`join`."""
    edges = np.cumsum([0, *sizes])
    cuts = np.searchsorted(positions, edges)
    return [positions[a:b] - edge for (a, b), edge in zip(itertools.pairwise(cuts), edges[:-1], strict=True)]


def collision_rate(masks: Sequence[Sequence[NDArray[np.int64]]], sizes: Sequence[int]) -> float:
    """Return the measured share of positions that two or more of the masks use, over all layers (eq. 19, measured)."""
    shared = 0
    for layer, size in enumerate(sizes):
        uses = np.zeros(size, dtype=np.int64)
        for mask in masks:
            uses[mask[layer]] += 1
        shared += int((uses >= 2).sum())
    return shared / sum(sizes)
