"""Masks negotiated between the groups of a cluster: claimed in turn, so that no two groups train one position.

Groups take their turns by sorted key. In its turn each of a group's devices proposes its own best positions among those
unclaimed, and the group claims the vote of these proposals. For all to find room no layer may be denser than one part
in as many as there are groups; what that cuts off is spread over the other layers (method section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.layer_budget import water_fill
from meshtune.adapter.mask import top_positions, vote

Mask = list[NDArray[np.int64]]
"""Per layer sorted flat positions."""


@dataclass(frozen=True)
class Turn:
    """One group's turn.

    Attributes:
        group: its key.
        proposals: what each of its devices would take, by id, ascending.
        claim: what the group takes.
    """

    group: str
    proposals: dict[int, Mask]
    claim: Mask


def capped_counts(counts: Sequence[int], sizes: Sequence[int], groups: int) -> list[int]:
    """Return how many positions of each layer a device trains beside ``groups`` - 1 other groups.

    No layer has more than one part in ``groups``; the rest goes to the others in proportion to what they have. The sum
    stays what it was, unless the parts together are less. Counts that keep the cap stay as they are.

    Args:
        counts: positions of each layer in the device's own mask.
        sizes: d r of every layer.
        groups: how many groups share the layers, at least 1.
    """
    return water_fill([float(count) for count in counts], [size // groups for size in sizes], sum(counts))


def negotiate(
    scores: Mapping[int, Sequence[NDArray[np.floating[Any]]]],
    counts: Mapping[int, Sequence[int]],
    groups: Mapping[int, str],
    sizes: Sequence[int],
) -> list[Turn]:
    """Return the turns of one cluster, in order; claims of different groups have no position in common.

    Args:
        scores: per device, per layer, how much it wants each position (d r,): finite, none below 0.
        counts: per device the positions of each layer in its own mask.
        groups: the group of every device.
        sizes: d r of every layer.
    """
    keys = sorted(set(groups.values()))
    claimed = [np.zeros(size, dtype=bool) for size in sizes]
    turns = []
    for key in keys:
        proposals = {
            device: _best(scores[device], capped_counts(counts[device], sizes, len(keys)), claimed)
            for device in sorted(groups)
            if groups[device] == key
        }
        claim = vote(list(proposals.items()), sizes)
        for taken, positions in zip(claimed, claim, strict=True):
            taken[positions] = True
        turns.append(Turn(key, proposals, claim))
    return turns


def _best(
    scores: Sequence[NDArray[np.floating[Any]]], counts: Sequence[int], claimed: Sequence[NDArray[np.bool_]]
) -> Mask:
    """Return the best positions of each layer that nobody has claimed; of equal ones the lower."""
    return [
        top_positions(np.where(taken, -1.0, score), count)
        for score, count, taken in zip(scores, counts, claimed, strict=True)
    ]
