"""``central``: one LoRA adapter trained on the pooled rows of all devices, as if somebody were trusted with them all.

No federation: what crosses no air as values has crossed it as data. A step sees every device's mini-batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshtune.adapter.expert import Expert
from meshtune.methods.base import Announcement, Answer, Member, Method, Workshop, only
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


class Central(Method):
    """One adapter on pooled data."""

    name = "central"
    kind = "lora"
    masks = ""
    exchanges = False
    pooled = True

    def begin(self, own: Announcement, known: Mapping[int, Announcement], workshop: Workshop) -> Expert:
        return workshop.lora()

    def mix(self, member: Member, workshop: Workshop) -> None:
        return None

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
        return [("every task", (member.device,))]


METHOD = Central()
