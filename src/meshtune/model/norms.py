"""Root-mean-square norms that save only their input for the backward pass.

A norm written as separate operations saves three tensors of its input's size for the backward pass and reads memory ten
times. Known norms of a model get a forward pass that computes the same, y = w x / sqrt(mean(x^2) + eps), at about a
third of that cost. Every norm is tested, and one that differs is left unchanged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        rate = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, rate)
        y: Tensor = (x * rate).mul_(weight)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight, rate = ctx.saved_tensors
        width = x.shape[-1]
        grad = grads[0] * weight
        along = torch.bmm(grad.reshape(-1, 1, width), x.reshape(-1, width, 1)).view(rate.shape)
        along.mul_(rate.square()).div_(-width)
        return grad.addcmul_(x, along).mul_(rate), None, None


def quicken_norms(model: nn.Module) -> int:
    """Give the frozen norms of ``model`` the fast forward pass if it is equivalent; return how many got it.

    Models in half precision keep their own norms, because intermediate rounding is part of the model.
    """
    count = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        if not type(module).__name__.endswith("RMSNorm") or not isinstance(eps, float):
            continue
        if not isinstance(weight, Tensor) or weight.dim() != 1 or weight.dtype not in (torch.float32, torch.float64):
            continue
        for more in (0.0, 1.0):
            if _same(module, weight, more, eps):
                module.forward = _quick(module, module.forward, more, eps)
                count += 1
                break
    return count


def _quick(module: Any, plain: Any, more: float, eps: float) -> Any:
    def forward(x: Tensor, *others: Any, **named: Any) -> Tensor:
        weight = module.weight
        # If all weights are trained, the norm needs a gradient too; untested inputs go to the module's own code.
        if weight.requires_grad or x.shape[-1] != weight.numel() or others or named:
            own: Tensor = plain(x, *others, **named)
            return own
        y: Tensor = _RmsNorm.apply(x, weight + more if more else weight, eps)  # type: ignore[no-untyped-call]
        return y

    return forward


def _same(module: Any, weight: Tensor, more: float, eps: float) -> bool:
    """Return whether the module equals :class:`_RmsNorm` with ``more`` added to its weight."""
    steps = torch.arange(2 * weight.numel(), dtype=weight.dtype, device=weight.device)
    x = torch.sin(1.0 + steps).view(2, -1)
    with torch.no_grad():
        try:
            expected = module(x)
        except Exception:  # a norm with other inputs is not supported
            return False
        found = _RmsNorm.apply(x, weight + more, eps)  # type: ignore[no-untyped-call]
    return isinstance(expected, Tensor) and bool(torch.allclose(found, expected, rtol=1e-5, atol=1e-6))
