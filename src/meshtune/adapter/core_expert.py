"""An expert that trains only a small square matrix a layer: dW = scale * B R A, with A and B fixed (Fed-SB).

The rows of A and the columns of B are orthonormal. Both are drawn from the seed for each layer, so all devices have the
same without sending them, and B R A is linear in R: the mean of cores is the core of the mean update.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.expert import PairExpert
from meshtune.adapter.sites import LayerSpec
from meshtune.errors import UserError
from meshtune.seeds import stream


class CoreExpert(PairExpert):
    """dW = scale * B R A: the flat vector holds R (r, r) of every layer in turn.

    Args:
        layers: the adapted layers.
        rank: r.
        scale: alpha / r.
        values: all cores (r r layers,).
        fixed: A (r, k) and B (d, r) of every layer, shared by all experts of a ``seed``.
        seed: the seed they were drawn from.
    """

    kind = "core"

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        rank: int,
        scale: float,
        values: Tensor,
        fixed: Sequence[tuple[Tensor, Tensor]],
        seed: int,
    ) -> None:
        super().__init__(layers, rank, scale, values)
        self.fixed, self.seed = fixed, seed

    @classmethod
    def fresh(cls, layers: Sequence[LayerSpec], rank: int, scale: float, seed: int, device: str = "cpu") -> CoreExpert:
        """Return an expert with cores of 0.

        Raises:
            UserError: a layer is narrower than ``rank``, so that it has no such A or B.
        """
        fixed = [
            (_orthonormal(layer, "a", layer.inputs, rank, seed).T, _orthonormal(layer, "b", layer.outputs, rank, seed))
            for layer in layers
        ]
        there = [(a.contiguous().to(device), b.to(device)) for a, b in fixed]
        return cls(layers, rank, scale, torch.zeros(rank * rank * len(layers), device=device), there, seed)

    def with_values(self, values: Tensor) -> CoreExpert:
        return CoreExpert(self.layers, self.rank, self.scale, values.to(self.values.device), self.fixed, self.seed)

    def split(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        cores = values.view(len(self.layers), self.rank, self.rank)
        return [(a, b @ core) for (a, b), core in zip(self.fixed, cores, strict=True)]

    def pair(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        a, b = self.fixed[layer.index]
        return a, b @ self.values.detach().view(-1, self.rank, self.rank)[layer.index]

    def _identity(self) -> bytes:
        return f"core/{self.rank}/{self.scale}/{self.seed}".encode()


def _orthonormal(layer: LayerSpec, side: str, width: int, rank: int, seed: int) -> Tensor:
    """Return ``rank`` orthonormal columns (width, rank): the QR decomposition of Gaussian ones, its diagonal > 0."""
    if rank > width:
        raise UserError(
            f"the setting `adapter.rank={rank}` is more than the width {width} of {layer.name}, which then has no "
            f"{rank} orthonormal directions: set adapter.rank={width} or leave fed_sb out of methods"
        )
    columns, upper = np.linalg.qr(stream(seed, "core", side, layer.name).standard_normal((width, rank)))
    return torch.from_numpy(columns * np.sign(np.diag(upper))).float()
