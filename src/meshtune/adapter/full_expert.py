"""Every weight of the model as one device's "expert": full fine-tuning, the only exception to a frozen base."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.sites import LayerSpec


class FullExpert(Expert):
    """All weights of a model concatenated, in the order of its parameters, tied ones once.

    It replaces the frozen model instead of adding an update (:func:`meshtune.training.full_parameters.holding`).

    Args:
        layers: the adapted layers.
        values: the weights (parameters,), fp32.
    """

    kind = "full"

    def __init__(self, layers: Sequence[LayerSpec], values: Tensor) -> None:
        super().__init__(layers, 1, 1.0, values)

    def with_values(self, values: Tensor) -> FullExpert:
        return FullExpert(self.layers, values)

    def pair(self, layer: LayerSpec) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("a fully trained model has no A and B")

    def _identity(self) -> bytes:
        return b"full"
