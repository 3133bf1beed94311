"""The search for a learning rate if a run sets none (``auto``): before the first round, one per kind of expert.

A few devices train a fresh expert for :data:`STEPS` steps at each of a few rates on their own first batches. Rates
decay as in the run, and every batch is scored before it is trained on. The rate with the lowest loss is too high for a
long run: :func:`rate_of` lowers it, by a rule fitted once on three bases (docs/configuration.md). The search needs no
knowledge of the base model, neither widths nor norms.

In a federation without a server each device would search by itself and announce its rate, one number; all use the
median.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from meshtune.adapter.expert import Expert
from meshtune.adapter.sites import sizes
from meshtune.config.learning_config import LR_KEYS, TrainConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import DivergedError, UserError
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Announcement
from meshtune.model.base import Base
from meshtune.runs.events import PhaseStarted, Progress
from meshtune.runs.observer import Observer
from meshtune.training.trainer import Job, train

FIRST = 10**-2.5
"""The first rate to try."""
FACTOR = math.sqrt(10)
"""The ratio between two rates to try."""
LOWEST, HIGHEST = FIRST / 100, FIRST * 1000
"""The lowest and highest rates to try."""
WALL = 0.05
"""A loss counts as at most this share above the lowest."""
STEPS, JUDGED = 8, 3
"""Steps of a trial, and how many of them, the last ones, are judged."""
TRIED = 3
"""The usual number of rates tried, for forecasting the cost of the search."""
SHARE = 0.1
"""Maximum cost of the search as a share of one method's steps, unless :data:`LEAST` devices already cost more."""
LEAST, MOST = 2, 6
"""Minimum (or all there are) and maximum number of devices that search."""
LENGTH = 9.0
"""Number of steps at the highest rate for which a trial's best rate is right: fitted (docs/configuration.md)."""


@dataclass(frozen=True)
class FoundRate:
    """The rate of one kind of expert, and how it was found.

    Attributes:
        rate: the peak learning rate of the run.
        best: the rate at which the trials' loss was lowest.
        tried: rate and loss of every trial, in order; None for a loss that was not finite.
        devices: the devices that searched.
        seconds: duration.
    """

    rate: float
    best: float
    tried: tuple[tuple[float, float | None], ...]
    devices: tuple[int, ...]
    seconds: float

    def facts(self) -> dict[str, Any]:
        """Return the record of it for the run's folder."""
        return asdict(self)


def check_rates(config: RunConfig, methods: Sequence[Method]) -> list[str]:
    """Return the kinds of expert whose rate has to be found, each once.

    Raises:
        UserError: the search does not support these experts, or their optimiser.
    """
    asked = [(kind, m) for m in methods for kind in m.kind.rates]
    unsettled = [(kind, m) for kind, m in asked if config.train.unsettled(kind, m.name)]
    for _, method in unsettled:
        if not method.kind.frozen_base:
            key = config.train.key(method.kind.name, method.name)
            raise UserError(
                f"{key}=auto: the learning-rate search does not cover full fine-tuning: give a number, for "
                f"example {key}=1e-4"
            )
    if unsettled and config.train.optimizer != "adam":
        kind, method = unsettled[0]
        key = config.train.key(kind, method.name)
        raise UserError(
            f"{key}=auto searches a rate for Adam, and train.optimizer is {config.train.optimizer}: give a number, for "
            f"example {key}=0.1"
        )
    return list(dict.fromkeys(kind for kind, _ in unsettled))


def with_rates(config: RunConfig, methods: Sequence[Method], found: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    """Return ``config`` with the rates of ``found``, facts by kind of expert, in place of ``auto``."""
    rates, kinds = {kind: facts["rate"] for kind, facts in found.items()}, {m.name: m.kind.rates for m in methods}
    return config.model_copy(update={"train": config.train.settled(rates, kinds)})


def rates_note(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a one-sentence note on the rates of ``found``, facts by kind of expert."""
    parts = [
        f"train.{LR_KEYS[kind]}={one['rate']:g} ({len(one['tried'])} rates tried, {one['best']:.2g} the best over "
        f"{STEPS} steps)"
        for kind, one in found.items()
    ]
    return f"learning rates found: {', '.join(parts)}"


def find_rates(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    own: Sequence[Announcement],
    factory: ExpertFactory,
    observer: Observer,
) -> dict[str, FoundRate]:
    """Search for the rates that ``config`` leaves open, by kind of expert.

    Args:
        base: the frozen model.
        config: the run's settings.
        methods: the methods to run.
        devices: their data.
        own: what every device has prepared so far: its mask, if some method has one.
        factory: builds fresh experts.
        observer: receives progress events.
    """
    kinds, found = check_rates(config, methods), {}
    if kinds:
        observer(PhaseStarted("rates", len(kinds)))
    for number, kind in enumerate(kinds):
        found[kind] = _find(base, config, kind, methods, devices, own, factory)
        observer(Progress("rates", number + 1, len(kinds)))
    return found


def _find(
    base: Base,
    config: RunConfig,
    kind: str,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    own: Sequence[Announcement],
    factory: ExpertFactory,
) -> FoundRate:
    started = time.perf_counter()
    lengths = [sum(len(row.tokens) for row in data.batch(0, config.train.batch)) for data in devices]
    who = trying(config, [data.group for data in devices], lengths)
    first = next(method for method in methods if kind in method.kind.rates)
    fresh = [_fresh(kind, first, own[device], factory) for device in who]
    batches = [[devices[device].batch(step, config.train.batch) for step in range(STEPS)] for device in who]
    trial = config.train.model_copy(update={"rounds": 1, "steps": STEPS, "warmup": 1})

    def loss(rate: float) -> float:
        jobs = [
            Job(expert.with_values(expert.values.clone()), rows, rate)
            for expert, rows in zip(fresh, batches, strict=True)
        ]
        try:
            train(base, jobs, trial)
        except DivergedError:
            return math.inf
        return fmean(loss for job in jobs for loss in job.losses[-JUDGED:])

    best, tried = best_rate(loss)
    told = tuple((rate, value if math.isfinite(value) else None) for rate, value in tried)
    seconds = time.perf_counter() - started
    return FoundRate(rate_of(best, config.train), best, told, tuple(who), seconds)


def rate_of(best: float, train: TrainConfig) -> float:
    """Return the peak learning rate of a run from the ``best`` rate over a few steps, to two digits.

    It is best min(1, sqrt(LENGTH / T)), where T is the run's length in steps at the peak rate, since schedules rise and
    fall.
    """
    length = sum(train.rate(1.0, number) for number in range(train.rounds * train.steps))
    return float(f"{best * min(1.0, math.sqrt(LENGTH / length)):.2g}")


def _fresh(kind: str, method: Method, own: Announcement, factory: ExpertFactory) -> Expert:
    if kind == "lora":
        return factory.lora()
    return factory.core() if kind == "core" else factory.alone(_masked(method.announces(own, factory), factory))


def _masked(own: Announcement, factory: ExpertFactory) -> Announcement:
    """Return ``own`` with its mask, or with all positions of B if no method of the run calibrates one."""
    if own.masks:
        return own
    every = sizes(factory.layers, own.recipe.rank)
    return replace(own, masks=tuple(np.arange(size, dtype=np.int64) for size in every))


def trying(config: RunConfig, groups: Sequence[str], lengths: Sequence[int]) -> list[int]:
    """Return the devices that search: as many as :data:`SHARE` allows, task groups in turn, short rows first.

    Args:
        config: the run's settings.
        groups: the task group of every device.
        lengths: the tokens of a batch of every device.
    """
    count = int(SHARE * len(groups) * config.train.rounds * config.train.steps / (TRIED * STEPS))
    seen: dict[str, int] = {}
    turns = []
    for device, group in enumerate(groups):
        turns.append((seen.setdefault(group, 0), lengths[device], device))
        seen[group] += 1
    return sorted(device for *_, device in sorted(turns)[: min(MOST, max(LEAST, count))])


def best_rate(loss: Callable[[float], float]) -> tuple[float, list[tuple[float, float]]]:
    """Return the rate that minimises ``loss``, and all (rate, loss) pairs tried.

    Rates on a geometric grid are tried starting at :data:`FIRST`, downhill until the loss rises on both sides. The
    minimum is that of the parabola through the best three over the logarithm of the rate. A loss more than
    :data:`WALL` above the best is capped there: the slope where training diverges does not tell where the minimum is.
    """
    tried: dict[int, float] = {}

    def at(n: int) -> float:
        if n not in tried:
            value = loss(FIRST * FACTOR**n)
            tried[n] = value if math.isfinite(value) else math.inf
        return tried[n]

    lowest, highest = (round(math.log(end / FIRST, FACTOR)) for end in (LOWEST, HIGHEST))
    best = 0
    while best < highest and at(best + 1) < at(best):
        best += 1
    while best > lowest and at(best - 1) <= at(best):
        best -= 1
    shift = 0.0
    if math.isfinite(at(best)) and {best - 1, best + 1} <= set(tried):
        below, above = (min(WALL * abs(at(best)), at(n) - at(best)) for n in (best - 1, best + 1))
        shift = 0.5 * (below - above) / (below + above) if below + above > 0 else 0.0
    return FIRST * FACTOR ** (best + shift), [(FIRST * FACTOR**n, value) for n, value in tried.items()]
