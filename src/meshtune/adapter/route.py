"""Which expert's update each token of a pass gets: the adapted forward and backward pass.

A :class:`Segments` route gives every run of rows one expert: one device, or many devices at once in one pass over the
base model. A :class:`Mixture` adds all experts of a bank, weighted per row by the router's gate (method section 6):
y = W0 x + scale * sum_g gate_g (B_g o M_g) A_g x. Both compute A x once for all layers that read the same tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from meshtune.adapter.expert import Expert, PairExpert, SparseExpert
from meshtune.adapter.sites import LayerSpec
from meshtune.adapter.thin_products import Share, expand, project


class Route(Protocol):
    """Provides an adapted layer's update."""

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Return y plus the update, where x (..., k) is the layer's input and y (..., d) its output.

        Args:
            layer: the layer.
            x: its input; rows concatenated.
            y: its output, which may be changed in place.
            lengths: tokens of every row if rows are concatenated; None if all rows have the same length.

        Raises:
            ValueError: the tokens do not match the route's rows.
        """
        ...

    def row(self, number: int) -> Route:
        """Return the route of one row alone."""
        ...


def dealt(rows: int, x: Tensor, lengths: Sequence[int] | None) -> Sequence[int]:
    """Return the number of tokens of x (..., k) in each of ``rows`` rows."""
    tokens = x.numel() // x.shape[-1]
    dealt = lengths if lengths is not None else [tokens // rows] * rows
    if len(dealt) != rows or sum(dealt) != tokens:
        raise ValueError(f"the route covers {rows} rows, the batch has {len(dealt)} of {tokens} tokens")
    return dealt


class Segments:
    """Consecutive rows of the batch belong to one expert each.

    Args:
        runs: (expert or None, number of rows) in the order of the batch; None leaves the rows to the frozen model.
        trainable: whether gradients flow to the experts' values.
    """

    def __init__(self, runs: Sequence[tuple[Expert | None, int]], trainable: bool = False) -> None:
        self._rows = sum(rows for _, rows in runs)
        self._given, self._trainable = runs, trainable
        self._runs: list[tuple[int, int, Expert, Sequence[Any]]] = []
        at = 0
        for expert, rows in runs:
            if expert is not None and rows:
                values = expert.values if trainable else expert.values.detach()
                if isinstance(expert, PairExpert):
                    parts: Sequence[Any] = expert.split(values)
                else:
                    assert isinstance(expert, SparseExpert)
                    parts = torch.split(values, expert.counts)
                self._runs.append((at, at + rows, expert, parts))
            at += rows
        self._frozen = all(isinstance(expert, SparseExpert) for _, _, expert, _ in self._runs)
        self._cut: tuple[int, list[tuple[int, int]]] = (-1, [])
        self._seen: tuple[str, Tensor, Tensor] | None = None

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        if not self._runs:
            return y
        spans = self._spans(x, lengths)
        shares: list[Share] = []
        for (_, _, expert, parts), (start, stop) in zip(self._runs, spans, strict=True):
            if isinstance(expert, PairExpert):
                a, b = parts[layer.index]
                shares.append(Share(start, stop, a, b, None, expert.scale))
            else:
                assert isinstance(expert, SparseExpert)
                a, b, places = expert.projections.of(layer), parts[layer.index], expert.places[layer.index]
                shares.append(Share(start, stop, a, b, places, expert.scale))
        if self._frozen and self._seen is not None and self._seen[0] == layer.place and self._seen[1] is x:
            z = self._seen[2]
        else:
            z = project(x, shares)
            self._seen = (layer.place, x, z)
        return expand(y, z, shares)

    def row(self, number: int) -> Route:
        for expert, rows in self._given:
            if number < rows:
                return Segments([(expert, 1)], self._trainable)
            number -= rows
        raise IndexError(number)

    def _spans(self, x: Tensor, lengths: Sequence[int] | None) -> list[tuple[int, int]]:
        """Return, for every run, its first token and the first token after it."""
        tokens = x.numel() // x.shape[-1]
        if self._cut[0] != tokens:
            starts = [0]
            for length in dealt(self._rows, x, lengths):
                starts.append(starts[-1] + length)
            self._cut = (tokens, [(starts[first], starts[last]) for first, last, _, _ in self._runs])
        return self._cut[1]


class Bank:
    """Experts in parallel, stacked per layer for one product: A (G r, k) and B (d, G r).

    Args:
        experts: the G experts, in the order of the router's groups.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        self.experts = list(experts)
        self._stacks: dict[int, tuple[Tensor, Tensor]] = {}

    def route(self, gates: Tensor) -> Route:
        """Return the route of rows that weight the experts by ``gates`` (rows, G)."""
        return Mixture(self, gates)

    @property
    def digest(self) -> str:
        """Banks with equal digests answer equally under equal gates."""
        return "+".join(expert.digest for expert in self.experts)

    def stack(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        """Return the stacked A (G r, k) and scaled B (d, G r) of ``layer``."""
        if layer.index not in self._stacks:
            pairs = [expert.pair(layer) for expert in self.experts]
            a = torch.cat([pair[0] for pair in pairs])
            b = torch.cat([pair[1] * expert.scale for pair, expert in zip(pairs, self.experts, strict=True)], dim=1)
            self._stacks[layer.index] = (a, b)
        return self._stacks[layer.index]

    @cached_property
    def ranks(self) -> Tensor:
        """Columns of each expert in the stacks (G,)."""
        return torch.tensor([expert.rank for expert in self.experts])

    def add(self, layer: LayerSpec, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """Return y (..., d) plus all experts' updates of x (..., k), with A x weighted by ``weights`` (..., G r)."""
        a, b = self.stack(layer)
        return y + F.linear(F.linear(x, a.to(x.dtype)) * weights, b.to(x.dtype))


class Mixture:
    """Every row gets all experts of a bank, weighted by its gates. For inference.

    Args:
        bank: the experts.
        gates: (rows, G), one decision per sequence from its prompt.
    """

    def __init__(self, bank: Bank, gates: Tensor) -> None:
        self._bank = bank
        self._given = gates
        self._gates = gates.repeat_interleave(bank.ranks.to(gates.device), dim=1)

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        counts = torch.tensor(dealt(len(self._gates), x, lengths), device=x.device)
        gates = self._gates.to(x.dtype).repeat_interleave(counts, dim=0)
        return self._bank.add(layer, x, y, gates.view(*x.shape[:-1], -1))

    def row(self, number: int) -> Route:
        return Mixture(self._bank, self._given[number : number + 1])
