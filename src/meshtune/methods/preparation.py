"""What a host offers to methods before the first round, for the devices that it hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.sites import LayerSpec
from meshtune.methods.config import PaperConfig


class Preparation(Protocol):
    """A host before the first round.

    Attributes:
        layers: the adapted layers of the base model.
        adapter: rank and scale.
        paper: settings of the paper's own method.
        devices: the ids of the devices.
        projections: per device, the A that its group claims.
        densities: per device, the share of B's positions that it may train.
        counts: per device, the positions of each layer that its budget allows.
    """

    @property
    def layers(self) -> Sequence[LayerSpec]: ...
    @property
    def adapter(self) -> AdapterConfig: ...
    @property
    def paper(self) -> PaperConfig: ...
    @property
    def devices(self) -> Sequence[int]: ...
    @property
    def projections(self) -> Sequence[Projections]: ...
    @property
    def densities(self) -> Sequence[float]: ...
    @property
    def counts(self) -> Sequence[Sequence[int]]: ...

    def calibrate(self, projections: Sequence[Projections]) -> Sequence[Sequence[NDArray[np.floating[Any]]]]:
        """Return per device and layer how much a device wants each position of B (d r,), by gradients at B = 0.

        Args:
            projections: the A that each device calibrates after.
        """
        ...

    def train(self, experts: Sequence[Expert], method: str, steps: int | None = None) -> Sequence[Expert]:
        """Train one expert per device on the device's rows.

        Equal training is done only once.

        Args:
            experts: what each device starts from, in the order of the devices.
            method: the name of the method whose learning rate is used.
            steps: how many; None for as many as the run has.

        Raises:
            DivergedError: a loss or a value is not finite.
        """
        ...
