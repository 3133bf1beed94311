"""``proposed``: a common expert that all devices average beside their own tasks' experts, which a router selects.

y = W0 x + (alpha/r) sum_g gate_g(x) [B_0 A_0 + (B_g o M_g) A_g] x, with A_0 and B_0 as group g sees them. Each device
trains the common expert and its own group's together, sends B_g's values and the largest changes of A_0 and B_0, and
answers every prompt with the gates of a training-free router over the task statistics it received (method sections 6
and 8).
"""

from __future__ import annotations

from meshtune.methods.common_bank import CommonBankMethod
from meshtune.methods.policies import BY_STATISTICS


class Proposed(CommonBankMethod):
    """The default method."""

    name = "proposed"
    routing = BY_STATISTICS
    ceiling = "oracle"


METHOD = Proposed()
