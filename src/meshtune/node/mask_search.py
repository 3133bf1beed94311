"""The host side of mask search: does the training that a method's search needs before the first round.

All the host's devices train in one batched pass. The time it takes is charged to preparation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

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
    """

    def __init__(
        self,
        base: Base,
        config: RunConfig,
        devices: Sequence[DeviceData],
        recipe_of: Mapping[str, Recipe],
        observer: Observer,
        densities: Sequence[float],
    ) -> None:
        made = {group: Projections(recipe, base.dtype, str(base.device)) for group, recipe in recipe_of.items()}
        self.layers, self.adapter = base.adapters.layers, config.adapter
        self.projections, self.densities = [made[data.group] for data in devices], densities
        self._base, self._config, self._devices, self._observer = base, config, devices, observer
        self._trained: dict[tuple[str, ...], Sequence[Expert]] = {}

    def train(self, experts: Sequence[Expert], method: str) -> Sequence[Expert]:
        """See :meth:`meshtune.methods.preparation.Preparation.train`."""
        key = (method, *(expert.digest for expert in experts))
        if key not in self._trained:
            self._trained[key] = self._train(experts, get_method(method))
        return self._trained[key]

    def _train(self, experts: Sequence[Expert], method: Method) -> Sequence[Expert]:
        config, settings = self._config, self._config.train
        total = settings.rounds * settings.steps
        rate = settings.peak(method.kind.name, method.name)
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
) -> list[dict[str, Masks]]:
    """Return every device's masks by name, for methods that search for masks other than calibrated ones.

    The list is empty if no method does. The arguments are those of :class:`MaskSearch`.
    """
    host = MaskSearch(base, config, devices, recipe_of, observer, densities)
    policies = {method.masks.name: method.masks for method in methods}
    found = {name: masks for name, policy in policies.items() if (masks := policy.search(host)) is not None}
    return [{name: masks[number] for name, masks in found.items()} for number in range(len(devices))] if found else []
