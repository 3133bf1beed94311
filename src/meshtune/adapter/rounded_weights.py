"""Linear modules whose frozen weight bitsandbytes holds in 8 or 4 bits: quantised storage, computation in floats.

bitsandbytes' own products also round activations, and on some processors they change the weight layout and then give no
gradient. So only its storage is used. A weight is converted to floats for one product and discarded, in the forward
pass and again in the backward pass. The two therefore agree on every machine.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def whole(module: nn.Module) -> Tensor | None:
    """Return the weight (d, k) of a quantised linear module in floats; None for one that is not quantised."""
    weight: Any = module.weight
    kind = type(weight).__name__
    if kind == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        found: Tensor = dequantize_4bit(weight.data, weight.quant_state)
        return found
    if kind == "Int8Params":
        read: Tensor = weight.data.float() * (weight.SCB.float()[:, None] / 127)
        return read
    return None


def any_rounded(model: nn.Module) -> bool:
    """Return whether bitsandbytes holds some weight of ``model`` in 8 or 4 bits."""
    return any(type(parameter).__name__ in ("Params4bit", "Int8Params") for parameter in model.parameters())


class QuantisedLinear(nn.Module):
    """W x + bias with a quantised module's weight W (d, k), differentiable in x."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.held = module

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., d) for x (..., k), in x's type."""
        y: Tensor = _RoundedProduct.apply(x, self.held)  # type: ignore[no-untyped-call]
        bias = self.held.bias
        return y if bias is None else y + bias.to(y.dtype)  # type: ignore[operator]


class _RoundedProduct(torch.autograd.Function):
    """x W^T; nothing is saved for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: nn.Module) -> Tensor:
        ctx.module = module
        return F.linear(x, _read(module, x))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] @ _read(ctx.module, grads[0]), None


def _read(module: nn.Module, like: Tensor) -> Tensor:
    weight = whole(module)
    assert weight is not None
    return weight.to(like.dtype)
