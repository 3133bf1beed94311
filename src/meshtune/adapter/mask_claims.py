"""The rule of negotiated masks: groups of a cluster claim positions in turn, so that no two train the same one.

Groups take their turns by sorted key. In its turn each of a group's devices proposes its own best positions among those
unclaimed, and the group claims the vote of these proposals (:func:`meshtune.adapter.mask.vote`). For all to find room
no layer may be denser than one part in as many as there are groups; what that cuts off is spread over the other layers
(method section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.layer_budget import water_fill
from meshtune.adapter.mask import top_positions

Mask = list[NDArray[np.int64]]
"""Per layer sorted flat positions."""


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


def propose(
    scores: Sequence[NDArray[np.floating[Any]]], counts: Sequence[int], claimed: Sequence[NDArray[np.bool_]]
) -> Mask:
    """Return the best positions of each layer that nobody has claimed; of equal ones the lower.

    Args:
        scores: per layer, how much a device wants each position (d r,): finite, none below 0.
        counts: how many it may take of each layer.
        claimed: per layer, the positions that other groups have claimed (d r,).
    """
    return [
        top_positions(np.where(taken, -1.0, score), count)
        for score, count, taken in zip(scores, counts, claimed, strict=True)
    ]
