"""``proposed``: sparse experts over orthogonal projections, kept apart in a bank, answered through a router.

y = W0 x + (alpha/r) sum_g gate_g(x) (B_g o M_g) A_g x. Each device trains its own group's expert, sends B's values,
and answers every prompt with the gates of a training-free router over the task statistics it received (method
sections 6 and 8).
"""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.methods.base import Answer, BankMethod, Member, Workshop
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


class Proposed(BankMethod):
    """The default method."""

    name = "proposed"
    kind = "sparse"
    routes = True

    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        workshop: Workshop,
    ) -> Answer:
        assert router is not None
        bank = self.bank(member, workshop)
        chosen = [list(router.groups).index(group) for group in bank]
        gates = router.gates(features)[:, chosen]
        missing = gates.sum(axis=1) <= 0
        if missing.any():  # every expert the router wants is still on its way: the own one answers
            gates[missing, list(bank).index(member.own.group)] = 1.0
        experts = tuple(bank.values())
        return Answer(experts, gates / gates.sum(axis=1, keepdims=True), router.bank(experts))


METHOD = Proposed()
