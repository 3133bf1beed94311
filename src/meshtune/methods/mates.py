"""Devices of one group that met on their way, each with a mask of its own.

Devices of a group that hear of each other before the first round agree on one mask. Those that meet later have trained
on theirs by then. A group has one projection whatever its masks, so the mean of its updates, sum_j w_j B_j A, is that
of its expansions over all positions that some of them train: exact, and what answers. A device goes on with what it
trains itself; a position that few of them train is averaged over those few, for nobody else brings it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert, SparseExpert
from meshtune.adapter.shared import aggregate

if TYPE_CHECKING:
    from meshtune.methods.base import Update


def alike(shapes: Sequence[Expert]) -> bool:
    """Return whether experts of one group hold values for the same positions."""
    first = shapes[0]
    if not isinstance(first, SparseExpert):
        return True
    return all(
        other is first or (other.counts == first.counts and all(map(torch.equal, other.masks, first.masks)))
        for other in shapes[1:]
        if isinstance(other, SparseExpert)
    )


def joined_mean(shapes: Sequence[Expert], updates: Sequence[Update], weights: Sequence[float]) -> SparseExpert:
    """Return the expert that is the weighted mean of these, over all positions that some of them have.

    Args:
        shapes: an expert of every device's mask, all with one projection.
        updates: what each device published.
        weights: w_j, not normalised.
    """
    places = _places(shapes)
    whole = aggregate([update.values for update in updates], places, weights, _size(shapes[0]), masked=False)
    union = torch.unique(torch.cat(places))
    edges = torch.cumsum(torch.tensor([0, *(layer.outputs * shapes[0].rank for layer in shapes[0].layers)]), 0)
    cuts = torch.searchsorted(union, edges).tolist()
    masks = [union[a:b] - edge for a, b, edge in zip(cuts, cuts[1:], edges, strict=False)]
    first = shapes[0]
    assert isinstance(first, SparseExpert)
    return SparseExpert(first.layers, first.projections, masks, first.scale, whole[union])


def trained_mean(shapes: Sequence[Expert], updates: Sequence[Update], weights: Sequence[float], own: int) -> Expert:
    """Return what the device at ``own`` in the lists goes on with: its positions, each averaged over who trains it.

    The other arguments are those of :func:`joined_mean`.
    """
    places = _places(shapes)
    whole = aggregate([update.values for update in updates], places, weights, _size(shapes[0]), masked=True)
    return shapes[own].with_values(whole[places[own]].to(shapes[own].values.device))


def _size(expert: Expert) -> int:
    return sum(layer.outputs * expert.rank for layer in expert.layers)


def _places(shapes: Sequence[Expert]) -> list[Tensor]:
    """Return where each one's values stand in all layers' B laid end to end, (nnz,), on the CPU."""
    found = []
    for shape in shapes:
        assert isinstance(shape, SparseExpert)
        start, parts = 0, []
        for mask, layer in zip(shape.masks, shape.layers, strict=True):
            parts.append(mask.cpu() + start)
            start += layer.outputs * shape.rank
        found.append(torch.cat(parts))
    return found
