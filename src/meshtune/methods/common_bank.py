"""Two experts in one update: what is common is averaged over everybody, what is a task's own stays apart.

B (d, r) follows a projection whose first r - c rows belong to the device's group and whose last c rows all groups have
in common. Both parts are trained together and sent together. The common part B_0 is the mean over all devices whose
update has arrived, the own part B_g the mean over the group's. Orthogonal rows leave no cross terms between the two:
dW = (alpha/r) (B_0 A_0 + sum_g gate_g B_g A_g), as gates sum to 1 (method section 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.columns import is_common, joined, parted
from meshtune.adapter.expert import Expert, SparseExpert
from meshtune.adapter.mask import part as part_of
from meshtune.adapter.mask import vote
from meshtune.adapter.shared import aggregate
from meshtune.adapter.sites import sizes
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.group_means import flat_positions
from meshtune.methods.policies import WITH_COMMON
from meshtune.methods.state import Announcement, Member


class CommonBankMethod(BankMethod):
    """A bank of experts that have a part in common."""

    masks = WITH_COMMON

    def announces(self, own: Announcement, factory: ExpertFactory) -> Announcement:
        found = super().announces(own, factory)
        return replace(found, recipe=replace(own.recipe, common=factory.adapter.common_rows))

    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        if own.voted:
            return factory.alone(own)
        voters = [known[device] for device in sorted(known) if not known[device].voted]
        key = ("with common", own.group, *((one.device, one.group, one.recipe, one.mask_digest) for one in voters))
        return factory.fresh(key, own.recipe, lambda: agreed(own.group, voters, factory))

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        group = member.counted(member.holders(member.own.group))
        return self._mean(member, group, factory, member.device)

    def _mean(self, member: Member, devices: Sequence[int], factory: ExpertFactory, own: int | None = None) -> Expert:
        # Every device whose update has arrived counts in the common part, `devices`, all of one group, in their own.
        everybody = sorted(member.held) if own is None else member.counted(sorted(member.held))
        shapes: dict[int, SparseExpert] = {}
        for device in everybody:
            shape = self.begin(member.known[device], member.known, factory)
            assert isinstance(shape, SparseExpert)
            shapes[device] = shape
        first, trained = shapes[devices[0] if own is None else own], own is not None
        parts = [
            Part(member.held[device].values, shapes[device], float(member.known[device].samples), device in devices)
            for device in everybody
        ]
        digests = (
            (member.held[d].digest, p.shape.form, p.weight, p.own) for d, p in zip(everybody, parts, strict=True)
        )
        return factory.once(("common", first.form, trained, *digests), lambda: combined(first, parts, trained))


@dataclass(frozen=True)
class Part:
    """What one device contributes: its ``values`` over ``shape``, weighted by ``weight``; ``own`` if of the group."""

    values: Tensor
    shape: SparseExpert
    weight: float
    own: bool


def agreed(group: str, voters: Sequence[Announcement], factory: ExpertFactory) -> list[NDArray[np.int64]]:
    """Return the mask of a device of ``group``: its columns voted by the group, those in common by all ``voters``."""
    layers, recipe = factory.layers, voters[0].recipe
    parts = [[parted(mask, recipe.rank, recipe.common) for mask in one.masks] for one in voters]
    mine = [(v.device, [own for own, _ in each]) for v, each in zip(voters, parts, strict=True) if v.group == group]
    everyone = [(v.device, [common for _, common in each]) for v, each in zip(voters, parts, strict=True)]
    own = vote(mine, sizes(layers, recipe.rank - recipe.common))
    common = vote(everyone, sizes(layers, recipe.common), least=True)
    return [joined(a, b, recipe.rank, recipe.common) for a, b in zip(own, common, strict=True)]


def combined(first: SparseExpert, parts: Sequence[Part], trained: bool) -> SparseExpert:
    """Return the weighted mean of the common part over all ``parts`` and of the own part over those of the group.

    Devices that met during the run may train different positions (:mod:`meshtune.methods.group_means`).

    Args:
        first: an expert of the group.
        parts: what every device contributes.
        trained: return what the device of ``first`` continues with: its positions, each averaged over the devices that
            train it. Otherwise all positions, each averaged over all devices.
    """
    recipe = first.projections.recipe
    room = sizes(first.layers, recipe.rank)
    whole, found = torch.zeros(sum(room)), []
    placed = [flat_positions(part.shape) for part in parts]
    shared = [torch.from_numpy(is_common(at.numpy(), recipe.rank, recipe.common)) for at in placed]
    for common in (True, False):
        each = zip(parts, placed, shared, strict=True)
        counted = [(part, at, here if common else ~here) for part, at, here in each if common or part.own]
        values, places = [part.values[keep] for part, _, keep in counted], [at[keep] for _, at, keep in counted]
        whole += aggregate(values, places, [part.weight for part, *_ in counted], sum(room), masked=trained)
        found += places
    if trained:
        return first.with_values(whole[flat_positions(first)].to(first.values.device))
    union = np.unique(torch.cat(found).numpy())
    return SparseExpert(first.layers, first.projections, part_of(union, room), first.scale, whole[union])
