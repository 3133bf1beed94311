"""``lora``: plain LoRA, A and B trained on every device and averaged over the neighbourhood each round (eq. 9, 10)."""

from __future__ import annotations

from collections.abc import Mapping

from meshtune.adapter.expert import Expert
from meshtune.methods.base import Answer, Method, Prompts, only
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import EVERY_POSITION, LORA, AdapterKind
from meshtune.methods.state import Announcement, Member


class Lora(Method):
    """Decentralised federated averaging of LoRA's A and B."""

    name = "lora"
    kind: AdapterKind = LORA
    masks = EVERY_POSITION

    def fresh(self, own: Announcement, factory: ExpertFactory) -> Expert:
        """Return the expert that every device starts from."""
        return factory.lora()

    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        return self.fresh(own, factory)

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        updates = [member.held[device] for device in newest(member)]
        samples = {d: member.known[d].samples for d in member.known}
        return factory.mean(self.fresh(member.own, factory), updates, samples)

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        return only(member.expert, len(prompts.groups))

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [("every task", tuple(newest(member)))]

    def experts(self, member: Member, factory: ExpertFactory) -> list[tuple[str, tuple[int, ...], Expert]]:
        return [(task, devices, member.expert) for task, devices in self.sources(member)]


def newest(member: Member) -> list[int]:
    """Return the devices whose update of the last round it holds, ids ascending."""
    version = member.held[member.device].version
    return [device for device in sorted(member.held) if member.held[device].version == version]


METHOD = Lora()
