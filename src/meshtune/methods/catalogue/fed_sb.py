"""``fed_sb``: only an r x r core of every layer is trained, sent and averaged (Fed-SB, Singhal et al. 2025).

dW = (alpha/r) B R A with A and B fixed, orthonormal and the same on every device. It is linear in R, so the mean of
the cores is exactly the mean of the updates, and r^2 values a layer are sent, whatever its width. The paper takes A
and B from the singular vectors of a first gradient; here they are drawn from the seed, which needs no exchange.
"""

from __future__ import annotations

from meshtune.adapter.expert import Expert
from meshtune.methods.catalogue.lora import Lora
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import CORE
from meshtune.methods.state import Announcement


class FedSb(Lora):
    """Federated averaging of the cores R."""

    name = "fed_sb"
    kind = CORE

    def fresh(self, own: Announcement, factory: ExpertFactory) -> Expert:
        return factory.core()


METHOD = FedSb()
