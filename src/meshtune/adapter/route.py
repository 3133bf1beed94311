"""Which expert's update each row of a batch gets: the adapted forward and backward pass.

A :class:`Segments` route gives every run of rows one expert: one device, or many devices at once in one pass over the
base model. A :class:`Mixture` adds all experts of a bank, weighted per row by the router's gate (method section 6):
y = W0 x + scale * sum_g gate_g (B_g o M_g) A_g x. Both compute A x once for all layers that read the same tensor, and
the backward pass keeps A x, never the layer input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from meshtune.adapter.expert import Expert, LoraExpert, SparseExpert, scatter
from meshtune.adapter.sites import LayerSpec


class Route(Protocol):
    """What an adapted layer asks for its update.

    Attributes:
        rows: how many rows of a batch it decides about.
    """

    rows: int

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        """Return y plus the update; x (rows, tokens, k) is the layer's input, y (rows, tokens, d) its output."""
        ...


class _SparseExpansion(torch.autograd.Function):
    """y + scale * (B o M) z for each run of rows; saves z and the nnz values only, rebuilds B when needed."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, runs: Any, rank: int, *values: Tensor) -> Tensor:
        ctx.runs, ctx.rank = runs, rank
        ctx.save_for_backward(z, *values)
        out = y.clone() if y._is_view() else y
        if out is y:
            ctx.mark_dirty(y)
        for (start, stop, positions, scale), mine in zip(runs, values, strict=True):
            b = scatter(positions, mine, y.shape[-1], rank).to(z.dtype)
            out[start:stop].view(-1, y.shape[-1]).addmm_(z[start:stop].reshape(-1, rank), b.T, alpha=scale)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        z, *values = ctx.saved_tensors
        outputs, rank = grad.shape[-1], ctx.rank
        grad_z = torch.zeros_like(z) if ctx.needs_input_grad[1] else None
        grad_values: list[Tensor | None] = []
        for (start, stop, positions, scale), mine, wanted in zip(
            ctx.runs, values, ctx.needs_input_grad[4:], strict=True
        ):
            g = grad[start:stop].reshape(-1, outputs)
            # (z^T g)^T: the wide side last is twice as fast as g^T z for r columns
            full = (z[start:stop].reshape(-1, rank).T @ g).T if wanted else None
            grad_values.append(None if full is None else (scale * full.reshape(-1)[positions]).to(mine.dtype))
            if grad_z is not None:
                b = scatter(positions, mine, outputs, rank).to(z.dtype)
                torch.mm(g, b, out=(flat := grad_z[start:stop].view(-1, rank)))
                flat.mul_(scale)
        return grad, grad_z, None, None, *grad_values


class Segments:
    """Consecutive rows of the batch belong to one expert each.

    Args:
        runs: (expert or None, number of rows) in the order of the batch; None leaves the rows to the frozen model.
        trainable: whether gradients flow to the experts' values.
    """

    def __init__(self, runs: Sequence[tuple[Expert | None, int]], trainable: bool = False) -> None:
        self._runs: list[tuple[int, int, Expert]] = []
        self._parts: list[Any] = []
        start = 0
        for expert, rows in runs:
            if expert is not None and rows:
                self._runs.append((start, start + rows, expert))
                values = expert.values if trainable else expert.values.detach()
                if isinstance(expert, LoraExpert):
                    self._parts.append(expert.split(values))
                else:
                    assert isinstance(expert, SparseExpert)
                    self._parts.append(torch.split(values, expert.counts))
            start += rows
        self.rows = start
        self._sparse = all(isinstance(expert, SparseExpert) for _, _, expert in self._runs)
        self._seen: tuple[str, Tensor, Tensor] | None = None

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        if not self._runs:
            return y
        if x.shape[0] != self.rows:
            raise ValueError(f"the route covers {self.rows} rows, the batch has {x.shape[0]}")
        return self._apply_sparse(layer, x, y) if self._sparse else self._apply_any(layer, x, y)

    def _apply_sparse(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        z = self._project(layer, x)
        runs, values = [], []
        for (start, stop, expert), parts in zip(self._runs, self._parts, strict=True):
            assert isinstance(expert, SparseExpert)
            runs.append((start, stop, expert.masks[layer.index], expert.scale))
            values.append(parts[layer.index])
        rank = self._runs[0][2].rank
        if torch.is_grad_enabled():
            out: Tensor = _SparseExpansion.apply(y, z, runs, rank, *values)  # type: ignore[no-untyped-call]
            return out
        for (start, stop, positions, scale), mine in zip(runs, values, strict=True):
            b = scatter(positions, mine, y.shape[-1], rank).to(z.dtype)
            y[start:stop].view(-1, y.shape[-1]).addmm_(z[start:stop].reshape(-1, rank), b.T, alpha=scale)
        return y

    def _project(self, layer: LayerSpec, x: Tensor) -> Tensor:
        """Return A x (rows, tokens, r), from the layer before if it read the same tensor."""
        if self._seen is not None and self._seen[0] == layer.place and self._seen[1] is x:
            return self._seen[2]
        pieces: list[Tensor] = []
        at = 0
        for start, stop, expert in self._runs:
            assert isinstance(expert, SparseExpert)
            if start > at:
                pieces.append(x.new_zeros(start - at, x.shape[1], expert.rank))
            pieces.append(F.linear(x[start:stop], expert.projections.of(layer)))
            at = stop
        if at < x.shape[0]:
            pieces.append(x.new_zeros(x.shape[0] - at, x.shape[1], self._runs[0][2].rank))
        z = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        self._seen = (layer.place, x, z)
        return z

    def _apply_any(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        pieces: list[Tensor] = []
        at = 0
        for (start, stop, expert), parts in zip(self._runs, self._parts, strict=True):
            if isinstance(expert, LoraExpert):
                a, b = parts[layer.index]
            else:
                assert isinstance(expert, SparseExpert)
                a = expert.projections.of(layer)
                b = _dense(expert.masks[layer.index], parts[layer.index], layer.outputs, expert.rank)
            update = F.linear(F.linear(x[start:stop], a.to(x.dtype)), b.to(x.dtype))
            pieces += [y[at:start], torch.add(y[start:stop], update, alpha=expert.scale)]
            at = stop
        pieces.append(y[at:])
        return torch.cat([piece for piece in pieces if piece.shape[0]])


class Bank:
    """Experts side by side, stacked per layer for one product: A (G r, k) and B (d, G r).

    Args:
        experts: the G experts, in the order of the router's groups.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        self.experts = list(experts)
        self._stacks: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def digest(self) -> str:
        """Equal digests answer equally under equal gates."""
        return "+".join(expert.digest for expert in self.experts)

    def stack(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        """Return the stacked A (G r, k) and scaled B (d, G r) of ``layer``."""
        if layer.index not in self._stacks:
            pairs = [expert.pair(layer) for expert in self.experts]
            a = torch.cat([pair[0] for pair in pairs])
            b = torch.cat([pair[1] * expert.scale for pair, expert in zip(pairs, self.experts, strict=True)], dim=1)
            self._stacks[layer.index] = (a, b)
        return self._stacks[layer.index]


class Mixture:
    """Every row gets all experts of a bank, weighted by its gates. For inference.

    Args:
        bank: the experts.
        gates: (rows, G), one decision per sequence from its prompt.
    """

    def __init__(self, bank: Bank, gates: Tensor) -> None:
        self._bank = bank
        self.rows = gates.shape[0]
        ranks = torch.tensor([expert.rank for expert in bank.experts], device=gates.device)
        self._gates = gates.repeat_interleave(ranks, dim=1)

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        a, b = self._bank.stack(layer)
        z = F.linear(x, a.to(x.dtype)) * self._gates[:, None, :].to(x.dtype)
        return y + F.linear(z, b.to(x.dtype))


def _dense(positions: Tensor, values: Tensor, outputs: int, rank: int) -> Tensor:
    """As :func:`scatter`, but gradients flow to ``values`` through autograd."""
    return values.new_zeros(outputs * rank).index_put((positions,), values).view(outputs, rank)
