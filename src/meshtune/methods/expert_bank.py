"""Experts kept separate by group (method section 6, ``bank``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from meshtune.adapter.expert import Expert, SparseExpert
from meshtune.methods.base import Answer, Method, Prompts
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.group_means import alike, joined_mean, trained_mean
from meshtune.methods.policies import Sharing
from meshtune.methods.state import Announcement, Member, Update
from meshtune.routing.routers import OracleRouter


class BankMethod(Method):
    """Experts kept separate by group: nothing is overwritten, no cross terms (method section 6, ``bank``)."""

    sharing = Sharing(relays=True)

    def reintroduces(
        self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory
    ) -> Announcement:
        trained = self.group_expert(own, known, factory)
        if not isinstance(trained, SparseExpert):
            return own
        return replace(own, masks=tuple(mask.cpu().numpy() for mask in trained.masks), voted=True)

    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        return self.group_expert(own, known, factory)

    def group_expert(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        """Return a fresh expert of the device's group."""
        if not self.kind.projected:
            return factory.lora()
        if own.voted:
            return factory.alone(own)
        group_members = [known[d] for d in sorted(known) if known[d].group == own.group]
        return factory.group_expert([one for one in group_members if not one.voted])

    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        # A device alone in its group continues with its own unrounded values; a group takes the mean of the updates.
        # A member several hops away counts with its newest update that has arrived, which is that many rounds old. If
        # rounds end on time, members whose update did not arrive in this round are left out instead.
        group_members = len(member.groups()[member.own.group])
        mixed = member.counted(member.holders(member.own.group))
        if group_members > 1 and (len(mixed) > 1 or not member.timely):
            return self.mean(member, mixed, factory, member.device)
        return None

    def of_group(self, member: Member, group: str, factory: ExpertFactory) -> Expert:
        """Return the group's expert: the mean of the updates that the member holds from the group."""
        return self.mean(member, member.holders(group), factory)

    def values(self, update: Update, expert: Expert) -> Update:
        """Return the part of ``update`` that is the group's own, by default all of it; ``expert`` is of its kind."""
        return update

    def mean(self, member: Member, devices: Sequence[int], factory: ExpertFactory, own: int | None = None) -> Expert:
        """Return the mean of these devices' updates, all of one group; with ``own``, the part that ``own`` trains."""
        updates = [self.values(member.held[d], member.expert) for d in devices]
        samples = {d: member.known[d].samples for d in member.known}
        first = self.group_expert(member.known[devices[0]], member.known, factory)
        if not isinstance(first, SparseExpert):  # all have the same shape
            return factory.mean(first, updates, samples)
        others = (self.group_expert(member.known[d], member.known, factory) for d in devices[1:])
        shapes = [first, *(shape for shape in others if isinstance(shape, SparseExpert))]
        if alike(shapes):
            return factory.mean(first, updates, samples)
        weights = [float(samples[d]) for d in devices]
        if own is not None:
            return trained_mean(shapes, updates, weights, devices.index(own))
        key = ("joined", *((u.digest, shape.form, w) for u, shape, w in zip(updates, shapes, weights, strict=True)))
        return factory.once(key, lambda: joined_mean(shapes, updates, weights))

    def bank(self, member: Member, factory: ExpertFactory) -> dict[str, Expert]:
        """Return the experts it can answer with, by group, in the order of :meth:`sources`."""
        return {g: self.of_group(member, g, factory) for g, _ in self.sources(member)}

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [(g, tuple(member.holders(g))) for g in member.groups() if member.holders(g)]

    def experts(self, member: Member, factory: ExpertFactory) -> list[tuple[str, tuple[int, ...], Expert]]:
        bank = self.bank(member, factory)
        return [(group, devices, bank[group]) for group, devices in self.sources(member)]

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        if self.routing.oracle:
            return self.perfect(member, prompts.groups, factory)
        return self.routed(member, prompts, factory)

    def routed(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        """Return the router's answer over the bank."""
        bank = self.bank(member, factory)
        experts = tuple(bank.values())
        return Answer(experts, prompts.gates(list(bank), member.own.group), prompts.fitted().bank(experts))

    def perfect(self, member: Member, groups: Sequence[str], factory: ExpertFactory) -> Answer:
        """Return the perfect router's answer; a prompt of a group without an expert is answered by its own group's."""
        bank = self.bank(member, factory)
        gates = OracleRouter(list(bank)).gates_for([g if g in bank else member.own.group for g in groups])
        return Answer(tuple(bank.values()), gates)
