"""The two thin products of an adapted layer, for the tokens of many experts at once, forward and backward.

z = A x and y + scale * (B o M) z (eq. 2, 3), every span of tokens with its own expert's A and B. B is never kept: its
dense form is built from the nnz values when a pass needs it, transposed, because products are quicker with the wide
side last. The backward pass keeps z, and x only where A is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """One expert's part of a layer.

    Attributes:
        start: its first token; stop: the first token after its last.
        a: A (r, k).
        b: dense B (d, r), or the values (nnz,) of a sparse one.
        places: positions of the values in the transposed B (r, d), flat (nnz,); None if B is dense.
        scale: alpha / r.
    """

    start: int
    stop: int
    a: Tensor
    b: Tensor
    places: Tensor | None
    scale: float


def project(x: Tensor, shares: Sequence[Share]) -> Tensor:
    """Return z (tokens, r) of x (..., k): every share's A x, 0 for tokens of no share."""
    if torch.is_grad_enabled() and (x.requires_grad or any(share.a.requires_grad for share in shares)):
        z: Tensor = _Project.apply(x, shares, *(share.a for share in shares))  # type: ignore[no-untyped-call]
        return z
    return _projected(x, shares)


def expand(y: Tensor, z: Tensor, shares: Sequence[Share]) -> Tensor:
    """Return y (..., d) plus every share's scale * (B o M) z, z (tokens, r); y may be changed in place."""
    if torch.is_grad_enabled():
        out: Tensor = _Expand.apply(y, z, shares, *(share.b for share in shares))  # type: ignore[no-untyped-call]
        return out
    return _expanded(y, z, shares)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shares: Sequence[Share], *a: Tensor) -> Tensor:
        ctx.spans = [(share.start, share.stop) for share in shares]
        ctx.shape = x.shape
        trained = any(ctx.needs_input_grad[2:])
        ctx.save_for_backward(*a, *([x] if trained else []))
        return _projected(x, shares)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        saved = ctx.saved_tensors
        a, x = saved[: len(ctx.spans)], saved[-1]
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _blank(ctx.spans, grad, ctx.shape[-1])
            for (start, stop), mine in zip(ctx.spans, a, strict=True):
                torch.mm(grad[start:stop, : len(mine)], mine.to(grad.dtype), out=grad_x[start:stop])
            grad_x = grad_x.view(ctx.shape)
        grad_a: list[Tensor | None] = [None] * len(a)
        for number, wanted in enumerate(ctx.needs_input_grad[2:]):
            if wanted:
                start, stop = ctx.spans[number]
                read = x.reshape(-1, ctx.shape[-1])[start:stop]
                grad_a[number] = (grad[start:stop, : len(a[number])].T @ read).to(a[number].dtype)
        return grad_x, None, *grad_a


class _Expand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, shares: Sequence[Share], *b: Tensor) -> Tensor:
        ctx.shares = [(share.start, share.stop, share.places, share.scale, share.a.shape[0]) for share in shares]
        ctx.save_for_backward(z, *b)
        out = y.clone() if y._is_view() else y
        if out is y:
            ctx.mark_dirty(y)
        return _expanded(out, z, shares)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        z, *b = ctx.saved_tensors
        outputs = grads[0].shape[-1]
        grad = grads[0].reshape(-1, outputs)
        grad_z = None
        if ctx.needs_input_grad[1]:
            grad_z = _blank([share[:2] for share in ctx.shares], grad, z.shape[-1])
        grad_b: list[Tensor | None] = [None] * len(b)
        for number, (start, stop, places, scale, rank) in enumerate(ctx.shares):
            mine = grad[start:stop]
            if grad_z is not None:
                wide = _wide(b[number], places, rank, outputs, z.dtype)
                _scaled(mine, wide.T, scale, grad_z[start:stop, :rank])
            if ctx.needs_input_grad[3 + number]:
                full = _scaled(z[start:stop, :rank].T, mine, scale, z.new_empty(rank, outputs))
                found = full.T if places is None else full.view(-1)[places]
                grad_b[number] = found.to(b[number].dtype)
        return grads[0], grad_z, None, *grad_b


def _projected(x: Tensor, shares: Sequence[Share]) -> Tensor:
    flat = x.reshape(-1, x.shape[-1])
    z = _blank([(share.start, share.stop) for share in shares], flat, max(share.a.shape[0] for share in shares))
    for share in shares:
        torch.mm(flat[share.start : share.stop], share.a.to(x.dtype).T, out=z[share.start : share.stop, : len(share.a)])
    return z


def _expanded(y: Tensor, z: Tensor, shares: Sequence[Share]) -> Tensor:
    flat = y.view(-1, y.shape[-1])
    for share in shares:
        rank = share.a.shape[0]
        wide = _wide(share.b, share.places, rank, y.shape[-1], z.dtype)
        flat[share.start : share.stop].addmm_(z[share.start : share.stop, :rank], wide, alpha=share.scale)
    return y


def _wide(b: Tensor, places: Tensor | None, rank: int, outputs: int, dtype: torch.dtype) -> Tensor:
    """Return B transposed (r, d)."""
    if places is None:
        return b.to(dtype).T
    dense = b.new_zeros(rank * outputs, dtype=dtype)
    dense[places] = b.to(dtype)
    return dense.view(rank, outputs)


def _scaled(left: Tensor, right: Tensor, scale: float, out: Tensor) -> Tensor:
    """Fill ``out`` with scale * left @ right."""
    return torch.addmm(out, left, right, beta=0, alpha=scale, out=out)


def _blank(spans: Sequence[tuple[int, int]], like: Tensor, width: int) -> Tensor:
    """Return a tensor (tokens of ``like``, width) to be filled span by span; zeros if the spans leave gaps."""
    tokens = like.shape[0]
    covered = sum(stop - start for start, stop in spans)
    return like.new_empty(tokens, width) if covered == tokens else like.new_zeros(tokens, width)
