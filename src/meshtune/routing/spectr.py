"""SpectR (Fleshman, Van Durme 2025): Arrow's decision per token and layer, by the whole spectrum of every update.

It needs nothing but the experts themselves; see :mod:`meshtune.adapter.spectral_routing` for the weighting.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.adapter.expert import Expert
from meshtune.adapter.spectral_routing import Spectral
from meshtune.routing.arrow import ArrowRouter


class SpectrRouter(ArrowRouter):
    """Routes token by token, by the length of the experts' updates; arguments as for :class:`ArrowRouter`."""

    def bank(self, experts: Sequence[Expert]) -> Spectral:
        return Spectral(experts, self._top_k, self._temperature)
