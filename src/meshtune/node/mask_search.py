"""The host side of mask search: does the calibration and training that a method's search needs before the first round.

All the host's devices train in one batched pass. The time it takes is charged to preparation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.projection import Recipe
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import DivergedError
from meshtune.methods.base import Method
from meshtune.methods.registry import get_method
from meshtune.methods.state import Masks
from meshtune.model.base import Base
from meshtune.runs.events import StepDone
from meshtune.runs.observer import Observer
from meshtune.training.calibration import calibration_scores
from meshtune.training.divergence import diverged
from meshtune.training.trainer import Job, train


class MaskSearch:
    """Implements :class:`meshtune.methods.preparation.Preparation` for the devices of one process.

    Args:
        base: the frozen model.
        config: the run's settings, learning rates included.
        devices: their data.
        recipe_of: the projection recipe of every task group.
        observer: receives progress events.
        densities: one per device.
        counts: per device, the positions of each layer that its budget allows.
    """

    def __init__(
        self,
        base: Base,
        config: RunConfig,
        devices: Sequence[DeviceData],
        recipe_of: Mapping[str, Recipe],
        observer: Observer,
        densities: Sequence[float],
        counts: Sequence[Sequence[int]] = (),
    ) -> None:
        made = {group: Projections(recipe, base.dtype, str(base.device)) for group, recipe in recipe_of.items()}
        self.layers, self.adapter, self.paper = base.adapters.layers, config.adapter, config.paper
        self.devices, self.counts = [data.device for data in devices], counts
        self.projections, self.densities = [made[data.group] for data in devices], densities
        self._base, self._config, self._devices, self._observer = base, config, devices, observer
        self._trained: dict[tuple[object, ...], Sequence[Expert]] = {}

    def calibrate(self, projections: Sequence[Projections]) -> Sequence[Sequence[NDArray[np.floating[Any]]]]:
        """See :meth:`meshtune.methods.preparation.Preparation.calibrate`."""
        settings = self._config.train
        return [
            calibration_scores(
                self._base, a, data.calibration(self.adapter.calibration_batches, settings.batch), settings.micro_tokens
            )
            for a, data in zip(projections, self._devices, strict=True)
        ]

    def train(self, experts: Sequence[Expert], method: str, steps: int | None = None) -> Sequence[Expert]:
        """See :meth:`meshtune.methods.preparation.Preparation.train`."""
        total = steps or self._config.train.rounds * self._config.train.steps
        key = (method, total, *(expert.digest for expert in experts))
        if key not in self._trained:
            self._trained[key] = self._train(experts, get_method(method), total)
        return self._trained[key]

    def _train(self, experts: Sequence[Expert], method: Method, total: int) -> Sequence[Expert]:
        config, settings = self._config, self._config.train
        rate = [settings.peak(kind, method.name) for kind in method.kind.rates]
        jobs = [
            Job(expert, [data.batch(step, settings.batch) for step in range(total)], rate)
            for expert, data in zip(experts, self._devices, strict=True)
        ]
        started = time.perf_counter()

        def on_step(step: int, losses: list[float], tokens: int) -> None:
            named = {f"{method.name}/{d.device}": loss for d, loss in zip(self._devices, losses, strict=True)}
            speed = tokens / (time.perf_counter() - started)
            self._observer(StepDone(1, settings.rounds, step + 1, total, named, speed))

        try:
            train(self._base, jobs, settings, on_step)
        except DivergedError as error:
            raise diverged(config, method, self._devices[error.number].device, 0, error.what) from error
        return [job.expert for job in jobs]


def search_masks(
    base: Base,
    config: RunConfig,
    devices: Sequence[DeviceData],
    methods: Sequence[Method],
    recipe_of: Mapping[str, Recipe],
    observer: Observer,
    densities: Sequence[float],
    counts: Sequence[Sequence[int]] = (),
) -> list[dict[str, Masks]]:
    """Return every device's masks by name, for methods that search for masks other than calibrated ones.

    The list is empty if no method does. The arguments are those of :class:`MaskSearch`.
    """
    host = MaskSearch(base, config, devices, recipe_of, observer, densities, counts)
    policies = {method.masks.name: method.masks for method in methods}
    found = {name: masks for name, policy in policies.items() if (masks := policy.search(host)) is not None}
    return [{name: masks[number] for name, masks in found.items()} for number in range(len(devices))] if found else []
