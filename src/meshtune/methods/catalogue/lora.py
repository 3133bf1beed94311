"""``lora``: plain LoRA, A and B trained on every device and averaged over the neighbourhood each round (eq. 9, 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshtune.adapter.expert import Expert
from meshtune.methods.base import Answer, Method, only
from meshtune.methods.experts import Workshop
from meshtune.methods.state import Announcement, Member
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


class Lora(Method):
    """Decentralised federated averaging of LoRA's A and B."""

    name = "lora"
    kind = "lora"
    masks = ""

    def fresh(self, own: Announcement, workshop: Workshop) -> Expert:
        """Return the expert that every device starts from."""
        return workshop.lora()

    def begin(self, own: Announcement, known: Mapping[int, Announcement], workshop: Workshop) -> Expert:
        return self.fresh(own, workshop)

    def mix(self, member: Member, workshop: Workshop) -> None:
        updates = [member.held[device] for device in newest(member)]
        samples = {d: member.known[d].samples for d in member.known}
        member.expert = workshop.mean(self.fresh(member.own, workshop), updates, samples)

    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        workshop: Workshop,
    ) -> Answer:
        return only(member.expert, len(groups))

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [("every task", tuple(newest(member)))]


def newest(member: Member) -> list[int]:
    """Return the devices whose update of the last round it holds, ids ascending."""
    version = member.held[member.device].version
    return [device for device in sorted(member.held) if member.held[device].version == version]


METHOD = Lora()
