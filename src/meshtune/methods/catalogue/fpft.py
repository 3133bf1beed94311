"""``fpft``: full-parameter fine-tuning, every weight trained on every device and averaged each round.

The one exception to a frozen base. The average is kept; nothing else of a round is.
"""

from __future__ import annotations

from meshtune.adapter.expert import Expert
from meshtune.methods.catalogue.lora import Lora, newest
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import FULL, Sharing
from meshtune.methods.state import Announcement, Member


class Fpft(Lora):
    """Federated averaging of all weights."""

    name = "fpft"
    kind = FULL
    sharing = Sharing(holds=False)

    def fresh(self, own: Announcement, factory: ExpertFactory) -> Expert:
        return factory.full()

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        mixed, member.averaged = super().mix(member, factory), tuple(newest(member))
        member.held = {member.device: member.held[member.device]}  # each update is a copy of the model
        return mixed

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [("every task", member.averaged or (member.device,))]


METHOD = Fpft()
