"""``oracle``: the experts of ``proposed`` with the task of every prompt known: the ceiling of its router."""

from __future__ import annotations

from meshtune.methods.common_bank import CommonBankMethod
from meshtune.methods.policies import ORACLE


class Oracle(CommonBankMethod):
    """A common expert, one expert per task, and the perfect router."""

    name = "oracle"
    routing = ORACLE


METHOD = Oracle()
