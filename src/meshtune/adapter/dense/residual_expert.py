"""LoRA beside a residual that is kept but not trained: dW = scale * B A + R.

A mean of products B_i A_i has up to the sum of their ranks, more than one trained pair can hold. What the pair does not
hold stays in R, as a full matrix of every layer, exact whatever its rank (FedEx-LoRA, Singhal et al. 2024,
arXiv:2410.09432, adds it to the frozen weight).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.sites import LayerSpec


class ResidualExpert(LoraExpert):
    """A and B of every layer, and R.

    Args:
        layers: the adapted layers.
        rank: r.
        scale: alpha / r.
        values: A then B of every layer in turn, as of LoRA (count,).
        kept: R (d, k) of every layer in turn, flat (sum of d k,); None while it is 0.
    """

    kind = "residual"

    def __init__(
        self, layers: Sequence[LayerSpec], rank: int, scale: float, values: Tensor, kept: Tensor | None = None
    ) -> None:
        super().__init__(layers, rank, scale, values, device=str(values.device))
        self.kept = kept

    def with_values(self, values: Tensor) -> ResidualExpert:
        made = ResidualExpert(self.layers, self.rank, self.scale, values.to(self.values.device), self.kept)
        if "form" in self.__dict__:
            made.form = self.form  # the residual is the same: do not hash it again
        return made

    def keeping(self, kept: Tensor) -> ResidualExpert:
        return ResidualExpert(self.layers, self.rank, self.scale, self.values, kept.to(self.values.device))

    def residuals(self) -> list[Tensor]:
        """Return R (d, k) of every layer."""
        sizes = [layer.outputs * layer.inputs for layer in self.layers]
        whole = torch.zeros(sum(sizes), device=self.values.device) if self.kept is None else self.kept
        parts = torch.split(whole, sizes)
        return [part.view(layer.outputs, -1) for part, layer in zip(parts, self.layers, strict=True)]

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return [A; R] and [B, I / scale], or [A; I] and [B, R / scale] where a layer has more outputs than inputs."""
        pairs = super().split(values)
        if self.kept is None:
            return pairs
        found = []
        for (a, b), r in zip(pairs, self.residuals(), strict=True):
            outputs, inputs = r.shape
            one = torch.eye(min(outputs, inputs), device=r.device)
            more = (r, one / self.scale) if outputs <= inputs else (one, r / self.scale)
            found.append((torch.cat([a, more[0]]), torch.cat([b, more[1]], dim=1)))
        return found

    def _identity(self) -> bytes:
        state = hashlib.blake2b(digest_size=16)
        if self.kept is not None:
            state.update(self.kept.cpu().numpy().data)
        return f"residual/{self.rank}/{self.scale}/".encode() + state.digest()
