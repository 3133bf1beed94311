"""A bank whose experts are weighted per token and per layer: Arrow (Ostapenko et al. 2024), as in PEFT.

Each expert's prototype v in a layer is the input direction that its update amplifies most, the top right singular
vector of B A. A token x scores the expert |x . v| there, and the best few share a softmax:
y = W0 x + scale * sum_g w_g(x) B_g A_g x. Nothing is trained or sent for it. An expert whose B is zero in a layer has
no such direction: it scores 0 there, and if it is still among the best, its share adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Bank, Route, dealt
from meshtune.adapter.sites import LayerSpec


class Arrow(Bank):
    """Experts in parallel, chosen by every token itself.

    Args:
        experts: the G experts.
        top_k: experts per token and layer; all if there are fewer.
        temperature: T of the softmax over their scores.
    """

    name = "arrow"

    def __init__(self, experts: Sequence[Expert], top_k: int = 3, temperature: float = 1.0) -> None:
        super().__init__(experts)
        self._top_k, self._temperature = min(top_k, len(experts)), temperature
        self._prototypes: dict[int, Tensor] = {}

    def route(self, gates: Tensor) -> Route:
        """Return a route for as many rows as ``gates`` has; the values of the gates are ignored."""
        return _ByToken(self, len(gates))

    @property
    def digest(self) -> str:
        """Equal digests answer equally."""
        return f"{self.name}/{self._top_k}/{self._temperature}/{super().digest}"

    def prototypes(self, layer: LayerSpec) -> Tensor:
        """Return the experts' prototypes (G, k) in ``layer``; zeros for one whose update is zero there."""
        if layer.index not in self._prototypes:
            found = [prototype(*expert.pair(layer)) for expert in self.experts]
            self._prototypes[layer.index] = torch.stack(found)
        return self._prototypes[layer.index]

    def scores(self, layer: LayerSpec, x: Tensor) -> Tensor:
        """Return the score (..., G) that each token of x (..., k), at least fp32, gives each expert."""
        return (x @ self.prototypes(layer).to(x.dtype).T).abs()

    def weights(self, layer: LayerSpec, x: Tensor) -> Tensor:
        """Return w (..., G) of x (..., k): the softmax of the best scores over T, 0 for the other experts."""
        scores = self.scores(layer, x.to(torch.promote_types(x.dtype, torch.float32)))
        best, who = scores.topk(self._top_k, dim=-1)
        return torch.zeros_like(scores).scatter_(-1, who, (best / self._temperature).softmax(dim=-1))


class _ByToken:
    """Weights the experts of a bank separately for every token of a pass."""

    def __init__(self, bank: Arrow, rows: int) -> None:
        self._bank, self._rows = bank, rows

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        dealt(self._rows, x, lengths)
        weights = self._bank.weights(layer, x).to(x.dtype)
        return self._bank.add(layer, x, y, weights.repeat_interleave(self._bank.ranks.to(x.device), dim=-1))

    def row(self, number: int) -> Route:
        return _ByToken(self._bank, 1)


def prototype(a: Tensor, b: Tensor) -> Tensor:
    """Return the top right singular vector (k,) of B A, fp64, with arbitrary sign; zeros if B A is zero.

    With A A^T = S S, the eigenvectors u of S (B^T B) S give those of (B A)^T (B A) as A^T (B^T B) S u: only r x r
    matrices are decomposed, and A need not have full rank.

    Args:
        a: A (r, k).
        b: B (d, r).
    """
    a, b = a.double(), b.double()
    inner = b.T @ b
    values, vectors = torch.linalg.eigh(a @ a.T)
    root = (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T
    top = torch.linalg.eigh(root @ inner @ root).eigenvectors[:, -1]
    found = a.T @ (inner @ (root @ top))
    length = found.norm()
    return found / length if length > 0 else torch.zeros_like(found)
