"""``shared_b``: eq. 24's aggregate after the routed projections only.

y = W0 x + (alpha/r) sum_g gate_g(x) Bbar_g A_g x: averaged as in ``paper``, routed as ``bank``. Bbar_g is that of
the cluster of group g, or the mean if there are several. It stores one expansion per cluster, however many groups there
are. Since it routes to groups, a group has one projection, and masks are calibrated after that.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.route import Bank
from meshtune.adapter.shared import Shared
from meshtune.adapter.sites import sizes
from meshtune.methods.aggregating import AggregatingMethod
from meshtune.methods.base import Answer, Prompts
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import BY_STATISTICS
from meshtune.methods.state import Member
from meshtune.routing.routers import Router


class SharedB(AggregatingMethod):
    """One expansion for all groups, a projection for each."""

    name = "shared_b"
    routing = BY_STATISTICS

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        router, sources = prompts.fitted(), self.sources(member)
        gates = prompts.gates([group for group, _ in sources], member.own.group)
        key = ("shared_b", self.masked, type(router).__name__ if router.by_token else "", *self.contents(member))
        bank = factory.once(key, lambda: self._bank(member, router, factory))
        return Answer((None,) * len(sources), gates, bank)

    def _bank(self, member: Member, router: Router, factory: ExpertFactory) -> Bank:
        first = [self.source(member.known[devices[0]], factory) for _, devices in self.sources(member)]
        layers, scale = factory.layers, factory.adapter.scale
        expansions, of = self._expansions(member, factory)
        if router.by_token:  # this router inspects experts: that of a group is Bbar A_g
            everywhere = [np.arange(size) for size in sizes(layers, factory.adapter.rank)]
            joined = router.bank(
                [
                    SparseExpert(layers, s.projections, everywhere, scale, expansions[number])
                    for s, number in zip(first, of, strict=True)
                ]
            )
            assert joined is not None
            return joined
        return Shared(layers, first, torch.stack(expansions), scale, gated=True, cluster=of)

    def _expansions(self, member: Member, factory: ExpertFactory) -> tuple[list[Tensor], list[int]]:
        """Return the distinct Bbar_g, and the index of each group's, in the order of :meth:`sources`."""
        found: dict[tuple[tuple[int, ...], ...], int] = {}
        of = [
            found.setdefault(tuple(c for c in self.clusters(member) if set(c) & set(devices)), len(found))
            for _, devices in self.sources(member)
        ]
        each = [[self.expansion(member, devices, factory) for devices in clusters] for clusters in found]
        return [bars[0] if len(bars) == 1 else torch.stack(bars).mean(dim=0) for bars in each], of

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [(g, tuple(member.holders(g))) for g in member.groups() if member.holders(g)]


METHOD = SharedB()
