"""``hard_moe_lora``: one dense LoRA expert per task and a perfect router: the paper's hard-routing MoE (Table I).

It is the denominator of the share of gain: the best that adapters of this rank reach for the same number of steps.
"""

from __future__ import annotations

from meshtune.methods.catalogue.hard_moe import HardMoe
from meshtune.methods.policies import EVERY_POSITION, LORA


class HardMoeLora(HardMoe):
    """One dense LoRA expert per task and the oracle."""

    name = "hard_moe_lora"
    kind = LORA
    masks = EVERY_POSITION


METHOD = HardMoeLora()
