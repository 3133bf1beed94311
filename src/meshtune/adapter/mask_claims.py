"""The rule of negotiated masks: groups of a cluster claim positions in turn, so that no two groups train the same one.

Groups take turns by sorted key. In its turn each of a group's devices proposes its own best unclaimed positions, and
the group claims the vote of these proposals (:func:`meshtune.adapter.mask.vote`). To leave room for everyone, no layer
may be denser than 1 / (number of groups); what that cuts off is spread over the other layers (method section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.layer_budget import water_fill
from meshtune.adapter.mask import top_positions

Mask = list[NDArray[np.int64]]
"""Per layer, sorted flat positions."""


def capped_counts(counts: Sequence[int], sizes: Sequence[int], groups: int) -> list[int]:
    """Return how many positions of each layer a device trains beside ``groups`` - 1 other groups.

    No layer keeps more than one part in ``groups``; the excess goes to the other layers in proportion to their counts.
    The sum is preserved, unless the capped layers together hold less. Counts within the cap are unchanged.

    Args:
        counts: positions of each layer in the device's own mask.
        sizes: d r of every layer.
        groups: number of groups that share the layers, at least 1.
    """
    return water_fill([float(count) for count in counts], [size // groups for size in sizes], sum(counts))


def propose(
    scores: Sequence[NDArray[np.floating[Any]]], counts: Sequence[int], claimed: Sequence[NDArray[np.bool_]]
) -> Mask:
    """Return the best unclaimed positions of each layer; ties go to the lower position.

    Args:
        scores: per layer, how much a device wants each position (d r,): finite, none below 0.
        counts: how many it may take in each layer.
        claimed: per layer, the positions that other groups have claimed (d r,).
    """
    return [
        top_positions(np.where(taken, -1.0, score), count)
        for score, count, taken in zip(scores, counts, claimed, strict=True)
    ]
