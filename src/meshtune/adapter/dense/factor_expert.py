"""LoRA whose factors take turns: B is trained and sent in odd rounds, A in even ones, and the other rests.

With one factor at rest and equal everywhere, dW = scale * B A is linear in the other, so the mean of the devices'
factors is exactly the mean of their updates (RoLoRA, Chen et al. 2024, arXiv:2409.02346). B comes first: while it is 0,
A has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert, LoraExpert, PairExpert
from meshtune.adapter.sites import LayerSpec


class FactorExpert(PairExpert):
    """dW = scale * B A: the flat vector holds A (r, k) of every layer in turn, then B (d, r) of every layer.

    Args:
        layers: the adapted layers.
        rank: r.
        scale: alpha / r.
        values: all of both factors (r (sum of k + sum of d),).
    """

    kind = "factors"

    def __init__(self, layers: Sequence[LayerSpec], rank: int, scale: float, values: Tensor) -> None:
        super().__init__(layers, rank, scale, values)
        self.border = rank * sum(layer.inputs for layer in layers)
        self.turns = (slice(self.border, values.numel()), slice(0, self.border))

    @classmethod
    def of(cls, lora: LoraExpert) -> FactorExpert:
        """Return the same update as ``lora``, its values in the order of this class."""
        a, b = zip(*lora.split(lora.values), strict=True)
        return cls(lora.layers, lora.rank, lora.scale, torch.cat([factor.reshape(-1) for factor in (*a, *b)]))

    def with_values(self, values: Tensor) -> FactorExpert:
        return FactorExpert(self.layers, self.rank, self.scale, values.to(self.values.device))

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        return self.pairs(values[: self.border], values[self.border :])

    def pairs(self, a: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return A (r, k) and B (d, r) of every layer, from ``a`` (r sum of k,) and ``b`` (r sum of d,)."""
        left = torch.split(a, [self.rank * layer.inputs for layer in self.layers])
        right = torch.split(b, [self.rank * layer.outputs for layer in self.layers])
        return [(x.view(self.rank, -1), y.view(-1, self.rank)) for x, y in zip(left, right, strict=True)]

    def trainee(self, version: int) -> OneFactor:
        return OneFactor(self, self.turn(version), self.values[self.turn(version)].clone())

    def taught(self, trained: Expert) -> FactorExpert:
        assert isinstance(trained, OneFactor)
        values = self.values.clone()
        values[trained.turn_of] = trained.values.detach()
        return self.with_values(values)

    def _identity(self) -> bytes:
        return f"factors/{self.rank}/{self.scale}".encode()


class OneFactor(PairExpert):
    """One factor of a :class:`FactorExpert` in training, the other one at rest.

    Args:
        whole: has both factors; its own values stay as they are.
        turn_of: which part of its values is trained.
        values: that part.
    """

    kind = "factor"

    def __init__(self, whole: FactorExpert, turn_of: slice, values: Tensor) -> None:
        super().__init__(whole.layers, whole.rank, whole.scale, values)
        self.whole, self.turn_of = whole, turn_of

    def with_values(self, values: Tensor) -> OneFactor:
        return OneFactor(self.whole, self.turn_of, values)

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        rest = self.whole.values.detach()
        if self.turn_of.start == 0:
            return self.whole.pairs(values, rest[self.whole.border :])
        return self.whole.pairs(rest[: self.whole.border], values)

    def _identity(self) -> bytes:
        return f"factor/{self.turn_of.start}/{self.whole.digest}".encode()
