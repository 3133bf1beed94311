"""Frozen weights that bitsandbytes holds in 8 or 4 bits, read as floats."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def whole(module: torch.nn.Module) -> Tensor | None:
    """Return the weight (d, k) of a quantised linear module in floats, None for one that is not quantised."""
    weight: Any = module.weight
    kind = type(weight).__name__
    if kind == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        found: Tensor = dequantize_4bit(weight.data, weight.quant_state)
        return found
    if kind == "Int8Params":
        state: Any = module
        codes = weight.data if state.state.CB is None else state.state.CB
        scales = weight.SCB if state.state.SCB is None else state.state.SCB
        read: Tensor = codes.float() * (scales.float()[:, None] / 127)
        return read
    return None
