"""A bank whose experts are weighted per token and per layer by their whole spectrum: SpectR (Fleshman, Van Durme 2025).

Arrow scores an expert by one direction, the one that its update amplifies most. SpectR uses all of them: with the
update scale * B A = U S V^T, a token x scores the expert |S V^T x|. That is the length of the update that the token
would get, because the columns of U are orthonormal. The rest is as in Arrow. With B = Q R, the length equals
|scale * R A x|, so no matrix of the layer's size is decomposed, and a token costs r inner products an expert.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from meshtune.adapter.arrow_routing import Arrow
from meshtune.adapter.expert import Expert
from meshtune.adapter.sites import LayerSpec


class Spectral(Arrow):
    """Experts in parallel, chosen by every token by the length of their updates.

    Args:
        experts: the G experts.
        top_k: experts per token and layer; all if there are fewer.
        temperature: T of the softmax over their scores.
    """

    name = "spectr"

    def __init__(self, experts: Sequence[Expert], top_k: int = 3, temperature: float = 1.0) -> None:
        super().__init__(experts, top_k, temperature)
        self._readers: dict[int, list[Tensor]] = {}

    def scores(self, layer: LayerSpec, x: Tensor) -> Tensor:
        """Return |S V^T x| (..., G) of each token of x (..., k), at least fp32, for every expert."""
        if layer.index not in self._readers:
            self._readers[layer.index] = [reader(*expert.pair(layer), expert.scale) for expert in self.experts]
        readers = self._readers[layer.index]
        seen = x @ torch.cat(readers).to(x.dtype).T
        return torch.stack(
            [part.norm(dim=-1) for part in torch.split(seen, [len(one) for one in readers], dim=-1)], dim=-1
        )


def reader(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Return scale * R A (min(d, r), k), fp64, where B = Q R: its product with x is as long as scale * B A x.

    Args:
        a: A (r, k).
        b: B (d, r).
        scale: of the update.
    """
    found: Tensor = scale * (torch.linalg.qr(b.double())[1] @ a.double())
    return found
