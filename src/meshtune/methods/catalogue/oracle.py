"""``oracle``: the experts of ``proposed`` with the task of every prompt known: the ceiling of its router."""

from __future__ import annotations

from meshtune.methods.base import Answer, Prompts
from meshtune.methods.common_bank import CommonBankMethod
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import ORACLE
from meshtune.methods.state import Member


class Oracle(CommonBankMethod):
    """A common expert, one expert per task, and the perfect router."""

    name = "oracle"
    routing = ORACLE

    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        return self.perfect(member, prompts.groups, factory)


METHOD = Oracle()
