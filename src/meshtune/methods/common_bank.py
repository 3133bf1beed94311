"""Two experts in one update: what is common is averaged over everybody, what is a task's own stays apart.

A device trains a LoRA pair A_0, B_0 of rank c, averaged over all devices in every exchange, together with its group's
sparse expert B_g of rank r - c: dW = (alpha/r) (B_0 A_0 + B_g A_g). Of B_g it sends all values, of A_0 and B_0 those
that changed most; what it leaves out it adds to its next change (:mod:`meshtune.node.summed_updates`). Its update of
the common part is thus a sum y_i of what it has contributed so far, and all that hold the same updates make the same of
them, whenever and in whatever order these arrived. A group sees its own devices' contributions more than those of
others:

    (A_0, B_0) of g = (1 - p) mean of y_i over all devices heard of + p mean of y_i over those of g,

both by rows N_i (method section 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert, SparseExpert
from meshtune.adapter.hybrid_expert import HybridExpert, common_count
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import BESIDE_COMMON, HYBRID
from meshtune.methods.state import Announcement, Member, Update


class CommonBankMethod(BankMethod):
    """A bank of experts that have a part in common."""

    kind = HYBRID
    masks = BESIDE_COMMON

    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        return factory.hybrid(self.group_expert(own, known, factory))

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        devices = member.counted(member.holders(member.own.group))
        return self._blended(member, devices, factory, member.device)

    def of_group(self, member: Member, group: str, factory: ExpertFactory) -> Expert:
        return self._blended(member, member.holders(group), factory)

    def values(self, update: Update, expert: Expert) -> Update:
        # The mean over a group, which BankMethod takes, is of the group's own part, which may be of another size here.
        assert isinstance(expert, HybridExpert)
        return Update(update.source, update.version, update.values[expert.parts[0].start :])

    def _blended(
        self, member: Member, devices: Sequence[int], factory: ExpertFactory, own: int | None = None
    ) -> HybridExpert:
        """Return the common part of all whose updates ``member`` holds, beside the own part of ``devices``."""
        mean = self.mean(member, devices, factory, own)
        assert isinstance(mean, SparseExpert)
        updates = [member.held[device] for device in sorted(member.held)]
        group = member.known[devices[0]].group
        weights = view(
            [member.known[update.source].samples for update in updates],
            [member.known[update.source].group == group for update in updates],
            factory.adapter.personal,
        )
        everybody = tuple((update.digest, weight) for update, weight in zip(updates, weights, strict=True))
        start = member.expert
        assert isinstance(start, HybridExpert)

        def common() -> Tensor:
            found = torch.zeros(common_count(start.layers, start.rows))
            for update, weight in zip(updates, weights, strict=True):
                found.add_(update.values[start.summed].float(), alpha=weight)
            return found

        shared = factory.once(("common", start.rows, *everybody), common)
        key = ("blended", mean.digest, *everybody)
        return factory.once(key, lambda: HybridExpert.beside(mean, shared, start.rows, start.density))


def view(rows: Sequence[int], own: Sequence[bool], personal: float) -> list[float]:
    """Return the weight of every device in a group's view of the common part: they sum to 1.

    Args:
        rows: N_i of every device.
        own: whether it is of the group.
        personal: the weight of the group's devices among themselves; the rest is the mean over all.
    """
    everybody, group = sum(rows), sum(n for n, mine in zip(rows, own, strict=True) if mine)
    return [
        (1 - personal) * n / everybody + (personal * n / group if mine else 0.0)
        for n, mine in zip(rows, own, strict=True)
    ]
