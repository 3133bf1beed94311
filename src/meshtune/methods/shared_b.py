"""``shared_b``: eq. 24's aggregate behind the routed projections only.

y = W0 x + (alpha/r) Bbar sum_g gate_g(x) A_g x: trained as ``paper``, routed as ``proposed``. It stores one expansion,
however many groups there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.route import Bank
from meshtune.adapter.shared import Shared
from meshtune.adapter.sites import sizes
from meshtune.methods.aggregating import AggregatingMethod
from meshtune.methods.base import Answer, Member, Workshop, held_gates
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


class SharedB(AggregatingMethod):
    """One expansion for all groups, a projection for each."""

    name = "shared_b"
    routes = True

    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        workshop: Workshop,
    ) -> Answer:
        assert router is not None
        sources = self.sources(member)
        gates = held_gates(router, features, [group for group, _ in sources], member.own.group)
        expansion = self.expansion(member, workshop)
        key = ("shared_b", router.by_token, id(expansion))
        bank = workshop.once(key, lambda: self._bank(member, router, workshop))
        return Answer((None,) * len(sources), gates, bank)

    def _bank(self, member: Member, router: Router, workshop: Workshop) -> Bank:
        first = [self.source(member.known[devices[0]], workshop) for _, devices in self.sources(member)]
        layers, scale, expansion = workshop.layers, workshop.adapter.scale, self.expansion(member, workshop)
        if router.by_token:  # it looks at experts: that of a group is Bbar A_g
            everywhere = [np.arange(size) for size in sizes(layers, workshop.adapter.rank)]
            joined = router.bank([SparseExpert(layers, s.projections, everywhere, scale, expansion) for s in first])
            assert joined is not None
            return joined
        return Shared(layers, first, expansion, scale, gated=True)

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [(g, tuple(member.holders(g))) for g in member.groups() if member.holders(g)]


METHOD = SharedB()
