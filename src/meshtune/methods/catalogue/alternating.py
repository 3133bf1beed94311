"""``alternating``: LoRA whose A and B are trained, sent and averaged in turn (RoLoRA, Chen et al. 2024).

The factor at rest is the same on all devices, so the mean of the other is exactly the mean of the updates, and a round
sends half of LoRA's values. Where devices hear different neighbours (a sparse graph, losses), they rest on different
factors and the mean is no longer exact, as in TAD-LoRA; a factor's next turn brings it together again.
"""

from __future__ import annotations

from meshtune.adapter.dense.factor_expert import FactorExpert
from meshtune.adapter.expert import Expert
from meshtune.methods.catalogue.lora import Lora
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import FACTORS
from meshtune.methods.state import Announcement, Member


class Alternating(Lora):
    """Federated averaging of the factor that was trained in the round."""

    name = "alternating"
    kind = FACTORS

    def fresh(self, own: Announcement, factory: ExpertFactory) -> Expert:
        return FactorExpert.of(factory.lora())

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        mean = super().mix(member, factory)
        assert mean is not None
        turn = member.expert.turn(member.held[member.device].version)
        values = member.expert.values.clone()
        values[turn] = mean.values[turn]
        return member.expert.with_values(values)


METHOD = Alternating()
