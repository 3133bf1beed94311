"""``hard_moe``: the experts of ``bank`` with the task of every prompt known: the ceiling of a perfect router."""

from __future__ import annotations

from meshtune.methods.base import Answer, Prompts
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import ORACLE
from meshtune.methods.state import Member


class HardMoe(BankMethod):
    """One expert per task and the oracle."""

    name = "hard_moe"
    routing = ORACLE

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        return self.perfect(member, prompts.groups, factory)


METHOD = HardMoe()
