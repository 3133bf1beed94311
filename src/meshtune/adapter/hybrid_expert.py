"""A LoRA pair that all devices average, beside the sparse expert of a device's own task, in one update.

The last c of the update's r rows of A are trained, with a dense B behind them: the common part, an average over
everybody after an exchange. The first r - c rows are the group's own frozen ones, with a sparse B behind them. Both are
trained in one pass: dW = scale * (B_0 A_0 + (B_g o M_g) A_g) (method section 6).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import LoraExpert, PairExpert, SparseExpert
from meshtune.adapter.sites import LayerSpec


class HybridExpert(PairExpert):
    """The flat vector holds A_0 (c, k) of every layer in turn, then B_0 (d, c), then the own part's values.

    Args:
        own: the own part, of rank r - c and of the same scale.
        rows: c, the rank of the common part.
        density: the share of the common part's values that a round sends, (0, 1].
        values: of both parts (c (sum of k + sum of d) + nnz,).
    """

    kind = "hybrid"

    def __init__(self, own: SparseExpert, rows: int, density: float, values: Tensor) -> None:
        self.own, self.rows, self.density = own, rows, density
        super().__init__(own.layers, own.rank + rows, own.scale, values)
        border = common_count(own.layers, rows)
        self.parts = (slice(border, values.numel()), slice(0, border))
        self.summed, self.largest = self.parts[1], largest_changes(border, density)
        a, b = ([rows * layer.inputs for layer in own.layers], [rows * layer.outputs for layer in own.layers])
        self._cut = [*a, *b, *own.counts]

    @classmethod
    def beside(cls, own: SparseExpert, common: Tensor, rows: int, density: float) -> HybridExpert:
        """Return the expert of ``own`` and the values of the common part, as :func:`fresh_common` orders them."""
        return cls(own, rows, density, torch.cat([common.to(own.values.device), own.values]))

    def with_values(self, values: Tensor) -> HybridExpert:
        other = HybridExpert(self.own, self.rows, self.density, values.to(self.values.device))
        other.form = self.form
        return other

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        parts = torch.split(values, self._cut)
        return [self._pair(layer, parts) for layer in self.layers]

    def pair(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        a, b = self._pair(layer, torch.split(self.values.detach(), self._cut))
        return a, b.to(a.dtype)

    def _pair(self, layer: LayerSpec, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return A (r, k) and B (d, r) of ``layer``: the group's rows and columns, then the common ones."""
        n, at = len(self.layers), layer.index
        a, b, values = parts[at].view(self.rows, -1), parts[n + at].view(-1, self.rows), parts[2 * n + at]
        left = self.own.projections.of(layer)
        right = values.new_zeros(layer.outputs * self.own.rank)
        right = right.index_put((self.own.masks[at],), values).view(layer.outputs, -1)
        return torch.cat([left, a.to(left.dtype)]), torch.cat([right, b], dim=1)

    def _identity(self) -> bytes:
        return f"hybrid/{self.rows}/".encode() + self.own.form


def common_count(layers: Sequence[LayerSpec], rows: int) -> int:
    """Return how many values a common part of rank ``rows`` has: c (sum of k + sum of d)."""
    return rows * sum(layer.inputs + layer.outputs for layer in layers)


def largest_changes(count: int, density: float) -> int:
    """Return how many of ``count`` values are sent if their share is ``density``: at least one."""
    return max(1, round(density * count))


def fresh_common(layers: Sequence[LayerSpec], rows: int, seed: int) -> Tensor:
    """Return a common part's values at the start, the same on every device: LoRA's, rounded to bfloat16.

    Rounded, because what devices send are changes to these values, and everybody has to start from the same bits.
    """
    lora = LoraExpert(layers, rows, 1.0, seed=seed)
    a, b = zip(*lora.split(lora.values), strict=True)
    return torch.cat([factor.reshape(-1) for factor in (*a, *b)]).bfloat16().float()
