"""``bank``: sparse experts over orthogonal projections, kept separate in a bank, selected by a router.

y = W0 x + (alpha/r) sum_g gate_g(x) (B_g o M_g) A_g x. Each device trains its own group's expert, sends B's values,
and answers every prompt with the gates of a training-free router over the task statistics it received (method
sections 6 and 8).
"""

from __future__ import annotations

from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.policies import BY_STATISTICS


class RoutedBank(BankMethod):
    """A bank without a part in common."""

    name = "bank"
    routing = BY_STATISTICS
    ceiling = "hard_moe"


METHOD = RoutedBank()
