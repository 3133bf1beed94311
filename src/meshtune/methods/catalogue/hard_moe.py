"""``hard_moe``: the same experts as ``proposed``, the task of every prompt known. What a perfect router would reach."""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.methods.bank import BankMethod
from meshtune.methods.base import Answer
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


class HardMoe(BankMethod):
    """One expert per task and the oracle."""

    name = "hard_moe"
    kind = "sparse"

    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        factory: ExpertFactory,
    ) -> Answer:
        return self.oracle(member, groups, factory)


METHOD = HardMoe()
