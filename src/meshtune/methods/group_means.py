"""Devices of one group that met during the run, each with its own mask.

Devices of a group that learn of each other before the first round agree on one mask. Those that meet later have by
then trained on their own. A group has one projection whatever its masks, so the mean of its updates, sum_j w_j B_j A,
is that of its expansions over all positions that some device trains. This mean is exact, and it answers prompts. A
device continues with the positions that it trains itself. A position is averaged only over the devices that train it,
because nobody else restores its magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.expert import Expert, SparseExpert
from meshtune.adapter.mask import join, part
from meshtune.adapter.shared import aggregate
from meshtune.adapter.sites import sizes

if TYPE_CHECKING:
    from meshtune.methods.state import Update


def alike(shapes: Sequence[SparseExpert]) -> bool:
    """Return whether experts of one group hold values for the same positions."""
    first = shapes[0]
    return all(
        other is first or (other.counts == first.counts and all(map(torch.equal, other.masks, first.masks)))
        for other in shapes[1:]
    )


def joined_mean(shapes: Sequence[SparseExpert], updates: Sequence[Update], weights: Sequence[float]) -> SparseExpert:
    """Return the weighted mean of these experts, over all positions that some of them have.

    Args:
        shapes: an expert over every device's mask, all with one projection.
        updates: what each device published.
        weights: w_j, not normalised.
    """
    first, places = shapes[0], [flat_positions(shape) for shape in shapes]
    room = sizes(first.layers, first.rank)
    whole = aggregate([update.values for update in updates], places, weights, sum(room), masked=False)
    union = np.unique(torch.cat(places).numpy())
    return SparseExpert(first.layers, first.projections, part(union, room), first.scale, whole[union])


def trained_mean(
    shapes: Sequence[SparseExpert], updates: Sequence[Update], weights: Sequence[float], own: int
) -> Expert:
    """Return what the device at index ``own`` continues with: its positions, each averaged over those who train it.

    The other arguments are those of :func:`joined_mean`.
    """
    places = [flat_positions(shape) for shape in shapes]
    room = sizes(shapes[0].layers, shapes[0].rank)
    whole = aggregate([update.values for update in updates], places, weights, sum(room), masked=True)
    return shapes[own].with_values(whole[places[own]].to(shapes[own].values.device))


def flat_positions(shape: SparseExpert) -> Tensor:
    """Return the positions of an expert's values in the concatenation of all layers' B, (nnz,), on the CPU."""
    return torch.from_numpy(join([mask.cpu().numpy() for mask in shape.masks], sizes(shape.layers, shape.rank)))
