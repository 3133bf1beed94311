"""``hard_moe``: the experts of ``bank`` with the task of every prompt known: the ceiling of a perfect router."""

from __future__ import annotations

from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.policies import ORACLE


class HardMoe(BankMethod):
    """One expert per task and the oracle."""

    name = "hard_moe"
    routing = ORACLE


METHOD = HardMoe()
