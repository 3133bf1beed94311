"""Whether a prompt resembles any known task, so that an unknown one can be left to the frozen model.

Every device scores its held-out prompts by their squared Mahalanobis distance from its own statistics, and announces
two numbers: the median, and the limit that a new prompt of its task exceeds with at most a given probability. A prompt
is known if it is within the limit of any device. The limit is an order statistic (split conformal prediction), so it
holds for any distribution: on average over held-out sets, at most ``router.false_refusals`` of the prompts like them
are refused. It needs nothing from other devices, and no prompt leaves the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from meshtune.routing.features import Features
from meshtune.routing.pooled import pool
from meshtune.routing.statistics import Array, Statistics

SHARPNESS = 4.0
"""Of the share: at a device's limit the experts get 1 / (1 + e^-4), 98%, and as far beyond as its median is within, a
half. Around the limit itself many prompts of known tasks would lose much of their expert."""


class Abstention:
    """How much of an answer the experts get.

    Args:
        sources: the statistics of every device; one without limits takes every prompt for its own.
        shrinkage: share of the diagonal in their covariances, as when the limits were found.
        soft: give the experts a share that falls smoothly beyond the limit, instead of all or nothing.
    """

    def __init__(self, sources: Iterable[Statistics], shrinkage: float = 0.5, soft: bool = False) -> None:
        self._sources = list(sources)
        self._shrinkage, self._soft = shrinkage, soft

    def margins(self, seen: Features) -> Array:
        """Return (prompts,): 0 at the limit of the device it is nearest to, 1 at its median, below 0 outside all."""
        best = np.full(len(seen), -np.inf)
        for source in self._sources:
            if source.limits is None:
                return np.full(len(seen), np.inf)
            median, limit = source.limits
            width = max(limit - median, np.finfo(np.float32).eps * max(abs(limit), 1.0))
            best = np.maximum(best, (limit - distances(source, seen.hidden, self._shrinkage)) / width)
        return best

    def known(self, seen: Features) -> Array:
        """Return the experts' share (prompts,) of every answer, in [0, 1]; the frozen model has the rest."""
        margins = self.margins(seen)
        if not self._soft:
            return (margins >= 0).astype(np.float64)
        share: Array = 1.0 / (1.0 + np.exp(-SHARPNESS * (np.clip(margins, -100.0, 100.0) + 1.0)))
        return share


def distances(source: Statistics, hidden: Array, shrinkage: float) -> Array:
    """Return (prompts,): (x - c)^T S'^-1 (x - c) of every prompt, with the mean and covariance of ``source``."""
    offsets = np.asarray(hidden, dtype=np.float64) - source.mean
    found: Array = (offsets * pool({"": [source]}).shrunk_inverse(offsets, shrinkage)).sum(axis=1)
    return found


def find_limits(source: Statistics, held: Array, shrinkage: float, refusals: float) -> Array | None:
    """Return the median distance of held-out prompts, and the limit that at most ``refusals`` of new ones exceed.

    Of n exchangeable distances and a new one, the new one is above the m-th smallest with a probability of at most
    1 - m / (n + 1).

    Args:
        source: the device's statistics, as others receive them.
        held: (n, k), prompts that are not among those of the statistics.
        shrinkage: see :class:`Abstention`.
        refusals: the largest probability.

    Returns:
        None if there are too few prompts for such a limit.
    """
    at = math.ceil((len(held) + 1) * (1 - refusals) - 1e-9)
    if not 1 <= at <= len(held):
        return None
    ordered = np.sort(distances(source, held, shrinkage))
    return np.array([np.median(ordered[:at]), ordered[at - 1]])
