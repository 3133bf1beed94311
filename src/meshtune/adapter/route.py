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

from meshtune.adapter.expert import Expert, LoraExpert, SparseExpert
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
    """y + scale * (B o M) z, each row with its owner's B; saves z and the nnz values only, rebuilds B when needed.

    All rows are one grouped product: B (owners, d, r) is gathered to (rows, d, r), a fraction of y for any text.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, owner: Tensor, parts: Any, *values: Tensor) -> Tensor:
        ctx.parts = parts
        ctx.save_for_backward(z, owner, *values)
        out = y.clone() if y._is_view() else y
        if out is y:
            ctx.mark_dirty(y)
        return out.baddbmm_(z, _expansions(parts, values, y.shape[-1], z)[owner].transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        z, owner, *values = ctx.saved_tensors
        outputs, rank = grad.shape[-1], z.shape[-1]
        grad_z = None
        if ctx.needs_input_grad[1]:
            grad_z = torch.bmm(grad, _expansions(ctx.parts, values, outputs, z)[owner])
        grad_values: list[Tensor | None] = [None] * len(values)
        if any(ctx.needs_input_grad[4:]):
            full = z.new_zeros(len(values) + 1, rank, outputs)  # the wide side last: twice as fast for r columns
            full.index_add_(0, owner, torch.bmm(z.transpose(1, 2), grad))
            for number, ((positions, scale), wanted) in enumerate(
                zip(ctx.parts, ctx.needs_input_grad[4:], strict=True)
            ):
                if wanted:
                    found = full[number, positions % rank, positions // rank]
                    grad_values[number] = (scale * found).to(values[number].dtype)
        return grad, grad_z, None, None, *grad_values


def _expansions(parts: Any, values: Sequence[Tensor], outputs: int, like: Tensor) -> Tensor:
    """Return scale * (B o M) (owners + 1, outputs, r) of every owner, zeros for rows of the frozen model."""
    rank = like.shape[-1]
    dense = like.new_zeros(len(parts) + 1, outputs * rank)
    for own, (positions, scale), mine in zip(dense, parts, values, strict=False):
        own[positions] = (mine * scale).to(like.dtype)
    return dense.view(-1, outputs, rank)


class Segments:
    """Consecutive rows of the batch belong to one expert each; experts of one kind and rank are one grouped product.

    Args:
        runs: (expert or None, number of rows) in the order of the batch; None leaves the rows to the frozen model.
        trainable: whether gradients flow to the experts' values.
    """

    def __init__(self, runs: Sequence[tuple[Expert | None, int]], trainable: bool = False) -> None:
        self._runs: list[tuple[int, int, Expert]] = []
        self._parts: list[Any] = []
        owners: list[int] = []
        for expert, rows in runs:
            if expert is not None and rows:
                self._runs.append((len(owners), len(owners) + rows, expert))
                values = expert.values if trainable else expert.values.detach()
                if isinstance(expert, LoraExpert):
                    self._parts.append(expert.split(values))
                else:
                    assert isinstance(expert, SparseExpert)
                    self._parts.append(torch.split(values, expert.counts))
            owners += [len(self._runs) - 1 if expert is not None else -1] * rows
        self.rows = len(owners)
        experts = [expert for _, _, expert in self._runs]
        self._owners = [owner if owner >= 0 else len(experts) for owner in owners]
        self._owner: Tensor | None = None
        self._sparse = all(isinstance(e, SparseExpert) and e.rank == experts[0].rank for e in experts)
        self._projections: dict[tuple[str, int], Tensor] = {}
        self._seen: tuple[str, Tensor, Tensor] | None = None

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        if not self._runs:
            return y
        if x.shape[0] != self.rows:
            raise ValueError(f"the route covers {self.rows} rows, the batch has {x.shape[0]}")
        return self._apply_sparse(layer, x, y) if self._sparse else self._apply_any(layer, x, y)

    def _apply_sparse(self, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
        if self._owner is None:
            self._owner = torch.tensor(self._owners, device=x.device)
        z = self._project(layer, x)
        parts, values = [], []
        for (_, _, expert), split in zip(self._runs, self._parts, strict=True):
            assert isinstance(expert, SparseExpert)
            parts.append((expert.masks[layer.index], expert.scale))
            values.append(split[layer.index])
        if torch.is_grad_enabled():
            out: Tensor = _SparseExpansion.apply(y, z, self._owner, parts, *values)  # type: ignore[no-untyped-call]
            return out
        return y.baddbmm_(z, _expansions(parts, values, y.shape[-1], z)[self._owner].transpose(1, 2))

    def _project(self, layer: LayerSpec, x: Tensor) -> Tensor:
        """Return A x (rows, tokens, r), from the layer before if it read the same tensor."""
        if self._seen is not None and self._seen[0] == layer.place and self._seen[1] is x:
            return self._seen[2]
        key = (layer.site, layer.inputs)
        if key not in self._projections:
            own = [e.projections.of(layer) for _, _, e in self._runs if isinstance(e, SparseExpert)]
            same = all(a is own[0] for a in own)
            self._projections[key] = own[0] if same else torch.stack([*own, own[0]])[self._owner]
        a = self._projections[key]
        z = F.linear(x, a) if a.dim() == 2 else torch.bmm(x, a.transpose(1, 2))
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
