"""``fedex``: LoRA whose updates are averaged exactly (FedEx-LoRA, Singhal et al. 2024).

The mean of A's times the mean of B's, as ``lora`` mixes them, is not the mean of the updates. Each device knows both
from what it received, so it keeps their difference as a residual of its expert, and every round adds to it:

    R <- R + (alpha/r) (sum_i w_i B_i A_i - (sum_i w_i B_i) (sum_i w_i A_i)),  w_i = N_i / sum_j N_j.

The paper adds it to the frozen weight; here the base stays as it is. Nothing more is sent. Where devices hear different
neighbours, their residuals differ as their means do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from meshtune.adapter.dense.residual_expert import ResidualExpert
from meshtune.adapter.expert import Expert
from meshtune.methods.catalogue.lora import Lora, newest
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import EXACT_LORA
from meshtune.methods.state import Announcement, Member


class FedEx(Lora):
    """Federated averaging of A and B, and of their products."""

    name = "fedex"
    kind = EXACT_LORA

    def fresh(self, own: Announcement, factory: ExpertFactory) -> Expert:
        lora = factory.lora()
        return ResidualExpert(lora.layers, lora.rank, lora.scale, lora.values)

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        expert = member.expert
        assert isinstance(expert, ResidualExpert)
        updates = [member.held[device] for device in newest(member)]
        rows = [member.known[update.source].samples for update in updates]
        mean = factory.mean(expert, updates, {d: known.samples for d, known in member.known.items()})

        def make() -> Tensor:
            plain = ResidualExpert(expert.layers, expert.rank, expert.scale, mean.values)
            found = [-(b @ a) for a, b in plain.split(mean.values)]
            for update, count in zip(updates, rows, strict=True):
                pairs = plain.split(update.values.float().to(mean.values.device))
                for whole, (a, b) in zip(found, pairs, strict=True):
                    whole.addmm_(b, a, alpha=count / sum(rows))
            more = torch.cat([whole.view(-1) for whole in found]).mul_(expert.scale)
            return more if expert.kept is None else more.add_(expert.kept)

        contents = ((update.digest, count) for update, count in zip(updates, rows, strict=True))
        kept = factory.once(("fedex", expert.form, *contents), make)
        return ResidualExpert(expert.layers, expert.rank, expert.scale, mean.values, kept)


METHOD = FedEx()
