"""The memory of this process, now and forecast for its run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from meshtune.adapter.sites import sizes
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.methods.base import Method
from meshtune.methods.policies import CALIBRATED
from meshtune.model.base import Base
from meshtune.training.memory_forecast import MemoryForecast, forecast

SCALAR = 14 * 4
"""Peak bytes per trained scalar: value, gradient and two moments; value and moments from before the round; the sent
update and its residual; and value, moments, update and residual in a checkpoint being written."""
KEPT = 3 * 4
"""Peak bytes per scalar that is kept and not trained: before and after a mix, and in a checkpoint being written."""
POSITION = 2 * 8
"""Bytes of a sparse scalar's position in B and in B transposed."""

DENSE = 4 * 4
"""Bytes per scalar of a dense run for masks by what is trained: value, gradient and two moments."""
FULL, SENT = 3 * 4, 2 * 2
"""Bytes per weight if all are trained: gradient and two moments of the one device that trains; and, during averaging,
each device's update as published and as received. The weights themselves are in files."""

LOOK = 8
"""Number of steps whose rows are inspected."""


def peak_memory() -> int | None:
    """Return the peak resident size of this process so far, in bytes; None on Windows, which does not report it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def size_now(base: Base) -> int:
    """Return the bytes this process uses now, on the GPU if the model is there; 0 if unknown."""
    if base.device.type == "cuda":
        return int(torch.cuda.memory_allocated(base.device))
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return peak_memory() or 0
    import resource

    return int(pages.read_text().split()[1]) * resource.getpagesize()


def forecast_memory(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    densities: Sequence[float] | None = None,
) -> MemoryForecast:
    """Return how much memory the run will take, with micro-batches that fit the budget.

    ``densities`` are the devices' densities if they differ from the configured one.

    Raises:
        UserError: nothing fits the budget.
    """
    layers, adapter = base.adapters.layers, config.adapter
    share = adapter.share if densities is None else sum(densities) / len(densities)
    places: dict[str, float] = {}  # of masks that methods have together, once
    for masks in (method.masks for method in methods if method.kind.projected):
        apart = masks.own(config.paper) or masks.common or not masks.selects
        density = share if masks.selects else 1.0  # without a mask every position is trained
        places[masks.name if apart else CALIBRATED.name] = density * sum(sizes(layers, masks.columns(adapter)))
    device = POSITION * sum(places.values())
    for method in methods:
        if method.kind.frozen_base:
            density = share if method.masks.selects else 1.0
            count = method.kind.count(layers, adapter, density, base.parameters)
            device += SCALAR * count + KEPT * method.kind.kept(layers)
    if any(method.masks.trains(config.paper) for method in methods):
        device = max(device, (DENSE + POSITION) * sum(sizes(layers, adapter.rank)))  # a whole dense run first
    each = max(FULL, SENT * len(devices) + 4)
    whole = sum(each * base.parameters for method in methods if not method.kind.frozen_base)
    steps = [
        [len(row.tokens) - 1 for data in devices for row in data.batch(step, config.train.batch)]
        for step in range(min(LOOK, config.train.rounds * config.train.steps))
    ]
    return forecast(base, config.train, steps, lambda: size_now(base), int(device * len(devices) + whole))
