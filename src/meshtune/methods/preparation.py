"""What a host offers to methods before the first round, for the devices that it hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.sites import LayerSpec


class Preparation(Protocol):
    """A host before the first round.

    Attributes:
        layers: the adapted layers of the base model.
        adapter: rank and scale.
        projections: per device, the A that its group claims.
        densities: per device, the share of B's positions that it may train.
    """

    @property
    def layers(self) -> Sequence[LayerSpec]: ...
    @property
    def adapter(self) -> AdapterConfig: ...
    @property
    def projections(self) -> Sequence[Projections]: ...
    @property
    def densities(self) -> Sequence[float]: ...

    def train(self, experts: Sequence[Expert], method: str) -> Sequence[Expert]:
        """Train one expert per device on the device's rows, for as many steps as the run has.

        Equal training is done only once.

        Args:
            experts: what each device starts from, in the order of the devices.
            method: the name of the method whose learning rate is used.

        Raises:
            DivergedError: a loss or a value is not finite.
        """
        ...
