"""``proposed``: sparse experts over orthogonal projections, kept apart in a bank, answered through a router.

y = W0 x + (alpha/r) sum_g gate_g(x) (B_g o M_g) A_g x. Each device trains its own group's expert, sends B's values,
and answers every prompt with the gates of a training-free router over the task statistics it received (method
sections 6 and 8).
"""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.methods.bank import BankMethod
from meshtune.methods.base import Answer, held_gates
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
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
        factory: ExpertFactory,
    ) -> Answer:
        assert router is not None
        bank = self.bank(member, factory)
        gates = held_gates(router, features, list(bank), member.own.group)
        experts = tuple(bank.values())
        return Answer(experts, gates, router.bank(experts))


METHOD = Proposed()
