"""Arrow (Ostapenko et al. 2024): no decision per prompt; each token of each layer chooses the experts it aligns with.

It needs nothing but the experts themselves. The weighting happens inside the layers, see
:mod:`meshtune.adapter.arrow_routing`; the gates, equal for all, only say which experts there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from meshtune.adapter.arrow_routing import Arrow
from meshtune.adapter.expert import Expert
from meshtune.routing.features import Features
from meshtune.routing.routers import Router, softmax
from meshtune.routing.statistics import Array


class ArrowRouter(Router):
    """Routes token by token, by the experts' own leading directions.

    Args:
        groups: the task keys for which there may be experts.
        top_k: experts per token and layer.
        temperature: T of the softmax over their scores.
    """

    by_token = True

    def __init__(self, groups: Iterable[str], top_k: int = 3, temperature: float = 1.0) -> None:
        self.groups = tuple(sorted(groups))
        self._top_k, self._temperature = top_k, temperature

    def scores(self, seen: Features) -> Array:
        return np.zeros((len(seen), len(self.groups)))

    def gates(self, seen: Features) -> Array:
        return softmax(self.scores(seen))

    def bank(self, experts: Sequence[Expert]) -> Arrow:
        return Arrow(experts, self._top_k, self._temperature)
