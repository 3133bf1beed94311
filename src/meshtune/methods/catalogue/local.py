"""``local``: every device trains its own sparse expert and answers everything with it. Nothing is exchanged.

It answers with rounded values, like those others would receive, so that a comparison measures the exchange alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshtune.adapter.expert import Expert
from meshtune.methods.base import Answer, Method, Prompts, only
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import NOTHING_SENT
from meshtune.methods.state import Announcement, Member


class Local(Method):
    """No exchange."""

    name = "local"
    sharing = NOTHING_SENT

    def knows(self, member: Member, group: str) -> bool:
        return group == member.own.group

    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        return factory.alone(own)

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        return None

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        ((_, _, expert),) = self.experts(member, factory)
        return only(expert, len(prompts.groups))

    def experts(self, member: Member, factory: ExpertFactory) -> list[tuple[str, tuple[int, ...], Expert]]:
        own = member.held[member.device]
        rounded = factory.mean(member.expert, [own], {member.device: member.own.samples})
        return [(member.own.group, (member.device,), rounded)]


METHOD = Local()
