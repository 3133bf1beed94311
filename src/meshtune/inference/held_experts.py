"""The experts that a device holds, as the matrices that they add to the frozen layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.sites import LayerSpec
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
from meshtune.model.base import Base
from meshtune.training.full_parameters import holding


class LayerUpdate:
    """What an expert adds to one frozen linear layer: y = W0 x + dW x.

    Attributes:
        layer: the layer's name in the model, for example ``model.layers.0.self_attn.q_proj``.
        shape: (d, k), outputs and inputs, as for ``torch.nn.Linear.weight``.
    """

    def __init__(self, base: Base, expert: Expert, layer: LayerSpec) -> None:
        self.layer = layer.name
        self.shape = (layer.outputs, layer.inputs)
        self._base, self._expert, self._spec = base, expert, layer

    def dense(self) -> Tensor:
        """Return dW (d, k), computed on each call: (alpha/r) (B o M) A, in the element type of the frozen weights.

        For ``fpft``, which trains the weights themselves, it is their difference from the frozen ones.
        """
        if not isinstance(self._expert, FullExpert):
            return self._expert.delta(self._spec)
        before = self._base.adapters.weight(self._spec).clone()
        with holding(self._base, self._expert):
            return self._base.adapters.weight(self._spec) - before

    def factors(self) -> tuple[Tensor, Tensor] | None:
        """Return (alpha/r) B (d, r) and A (r, k), whose product is dW; None for ``fpft``.

        A sparse expert's B is 0 wherever its mask M is.
        """
        if isinstance(self._expert, FullExpert):
            return None
        a, b = self._expert.pair(self._spec)
        return self._expert.scale * b, a


@dataclass(frozen=True)
class HeldExpert:
    """An expert that a device can answer with.

    Attributes:
        task: the task it knows; ``every task`` if a method trains one expert for all.
        devices: the ids of the devices that contributed training to it.
        layers: what it adds to every adapted layer, in the model's order.
    """

    task: str
    devices: tuple[int, ...]
    layers: tuple[LayerUpdate, ...]


def experts_of(base: Base, method: Method, member: Member, factory: ExpertFactory) -> Iterator[HeldExpert]:
    """Yield the experts of a device under ``method``; see :meth:`meshtune.inference.device.Device.experts`."""
    for task, devices, expert in method.experts(member, factory):
        yield HeldExpert(task, devices, tuple(LayerUpdate(base, expert, layer) for layer in base.adapters.layers))
