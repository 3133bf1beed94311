"""Masks by magnitude: what LoRI keeps of a whole dense run (``lori``, ``lori_uniform``).

All devices train a dense B behind their own A, in one batched pass, for as many steps as the run has; the values are
then thrown away. The seconds that it takes are charged to preparation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.mask import part, top_positions
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import DivergedError
from meshtune.methods.registry import get_method
from meshtune.methods.state import Masks
from meshtune.model.base import Base
from meshtune.runs.events import StepDone
from meshtune.runs.observer import Observer
from meshtune.training.divergence import diverged
from meshtune.training.trainer import Job, train


def magnitude_masks(
    base: Base,
    config: RunConfig,
    devices: Sequence[DeviceData],
    recipe_of: Mapping[str, Recipe],
    observer: Observer,
    densities: Sequence[float],
) -> list[dict[str, Masks]]:
    """Return every device's masks, of its density, by the name of the method that asks for them."""
    layers, adapter, settings = base.adapters.layers, config.adapter, config.train
    counts = sizes(layers, adapter.rank)
    everywhere = [np.arange(size) for size in counts]
    made = {g: Projections(recipe, base.dtype, str(base.device)) for g, recipe in recipe_of.items()}
    total = settings.rounds * settings.steps
    jobs = [
        Job(
            SparseExpert(layers, made[data.group], everywhere, adapter.scale),
            [data.batch(step, settings.batch) for step in range(total)],
            settings.peak("sparse", "lori"),
        )
        for data in devices
    ]
    started = time.perf_counter()

    def on_step(step: int, losses: list[float], tokens: int) -> None:
        named = {f"lori/{data.device}": loss for data, loss in zip(devices, losses, strict=True)}
        observer(StepDone(1, settings.rounds, step + 1, total, named, tokens / (time.perf_counter() - started)))

    try:
        train(base, jobs, settings, on_step)
    except DivergedError as error:
        raise diverged(config, get_method("lori"), devices[error.number].device, 0, error.what) from error
    found = [job.expert.values.detach().cpu().numpy() for job in jobs]
    return [kept(values, counts, density) for values, density in zip(found, densities, strict=True)]


def kept(values: NDArray[np.float32], counts: Sequence[int], density: float) -> dict[str, Masks]:
    """Return the masks of one dense B (sum of counts,): the largest |B| over all layers, and in each layer."""
    size = np.abs(values)
    whole = part(top_positions(size, round(density * size.size)), counts)
    layers = np.split(size, np.cumsum(counts)[:-1])
    each = (top_positions(layer, round(density * layer.size)) for layer in layers)
    return {"lori": tuple(whole), "lori_uniform": tuple(each)}
