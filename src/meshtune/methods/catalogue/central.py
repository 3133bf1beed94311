"""``central``: one LoRA adapter trained on the pooled rows of all devices, as if one party were trusted with all data.

This is not a federation: data are pooled instead of values exchanged. A step sees every device's mini-batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.adapter.expert import Expert
from meshtune.methods.catalogue.lora import Lora
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import NOTHING_SENT
from meshtune.methods.state import Member


class Central(Lora):
    """One adapter on pooled data: nothing is sent, so there is nothing to mix."""

    name = "central"
    sharing = NOTHING_SENT

    def rows(self, device: int, devices: int) -> Sequence[int]:
        return range(devices)

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        return None


METHOD = Central()
