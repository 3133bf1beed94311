"""Products with frozen float32 weights through oneDNN, if torch has it: on a CPU faster than torch's default.

With ``rounded`` products (``model.products=bfloat16``) both factors and the product are rounded to bfloat16 and sums
are kept in float32; everything else, adapters and gradients of trained values included, stays in float32. It is faster
where the processor multiplies bfloat16 (AVX-512 BF16, AMX). Elsewhere the same rounding is done in float32.

The weight is used in its existing layout, and transposed in the backward pass: there is no second copy. One test checks
that the operator exists and is correct; otherwise torch's product is used. The choice depends only on the build of
torch and the shape, never on a timing, so that a resumed run rounds the same.

oneDNN generates and caches code for every new shape: half a megabyte and a millisecond each. Token counts seldom
repeat, so its cache is kept small, and only products that take several milliseconds use it.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEWEST = 64
"""Rows of the smallest product that is worth the overhead."""
LEAST = 1 << 18
"""Entries of the smallest weight that is worth the overhead."""
KEPT = "64"
"""How many shapes' code is cached."""


def round_products(model: nn.Module) -> int:
    """Give the larger frozen float32 linear modules of ``model`` products in bfloat16; return how many got them.

    The rounded weight is a second copy, half as large.
    """
    count = 0
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.weight.numel() >= LEAST:
            module.forward = _rounded_forward(module, module.weight.detach().bfloat16())  # type: ignore[method-assign]
            count += 1
    return count


def rounded_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return bf16(bf16(x) W^T) as float32 (..., d), for float32 x (..., k) and bfloat16 W (d, k); no gradients."""
    if x.device.type == "cpu" and x.numel() >= FEWEST * x.shape[-1] and multiplies_bfloat16():
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), weight, None, "none", [], "")
        return y.float()
    if x.device.type == "cpu":
        return F.linear(x.bfloat16().float(), weight.float()).bfloat16().float()
    return F.linear(x.bfloat16(), weight).float()


def quicken_products(model: nn.Module) -> int:
    """Give the frozen linear modules of ``model`` the faster product; return how many got it."""
    if not available():
        return 0
    count = 0
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.weight.is_contiguous():
            module.forward = _forward(module)  # type: ignore[method-assign]
            count += 1
    return count


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W^T + bias (..., d) for x (..., k) and W (d, k), without gradients for either."""
    if quick(x, weight):
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return y
    return F.linear(x, weight, bias)


def quick(x: Tensor, weight: Tensor) -> bool:
    """Return whether this product goes through oneDNN."""
    return (
        weight.numel() >= LEAST
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.numel() >= FEWEST * x.shape[-1]
        and available()
    )


@cache
def available() -> bool:
    """Return whether torch has the operator and it is correct."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT)  # read when the first product is made
    x, weight = (torch.arange(float(rows * 8)).view(rows, 8) for rows in (3, 5))
    try:
        found = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        turned = torch.ops.mkldnn._linear_pointwise(found, weight.T, None, "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool(torch.equal(found, x @ weight.T) and torch.equal(turned, x @ weight.T @ weight))


@cache
def multiplies_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 without converting it to float32 first."""
    capable: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not say
    return available() and bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def _rounded_forward(module: nn.Linear, weight: Tensor) -> Any:
    def forward(x: Tensor) -> Tensor:
        if module.weight.requires_grad or x.dtype != torch.float32:
            return F.linear(x, module.weight, module.bias)
        y: Tensor = _HalfProduct.apply(x, weight)  # type: ignore[no-untyped-call]
        return y if module.bias is None else y + module.bias

    return forward


def _forward(module: nn.Linear) -> Any:
    def forward(x: Tensor) -> Tensor:
        if module.weight.requires_grad or not quick(x, module.weight):
            return F.linear(x, module.weight, module.bias)
        y: Tensor = _Product.apply(x, module.weight, module.bias)  # type: ignore[no-untyped-call]
        return y

    return forward


class _Product(torch.autograd.Function):
    """x W^T + bias over a frozen weight; only x gets a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return multiply(grads[0].contiguous(), weight.T), None, None


class _HalfProduct(torch.autograd.Function):
    """x W^T over a frozen bfloat16 weight, rounded to bfloat16 in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return rounded_product(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return rounded_product(grads[0].contiguous(), weight.T), None
