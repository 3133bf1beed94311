"""``central``: one LoRA adapter trained on the pooled rows of all devices, as if somebody were trusted with them all.

No federation: what crosses no air as values has crossed it as data. A step sees every device's mini-batch.
"""

from __future__ import annotations

from meshtune.adapter.expert import Expert
from meshtune.methods.catalogue.lora import Lora
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member


class Central(Lora):
    """One adapter on pooled data: nothing is sent, so there is nothing to mix."""

    name = "central"
    exchanges = False
    pooled = True

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        return None


METHOD = Central()
