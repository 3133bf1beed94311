"""The learning rate of a run that names none (``auto``): looked for before the first round, one by kind of expert.

A few devices train a fresh expert for :data:`STEPS` steps at each of a few rates, which fall as in the run, on their
own first batches, and every batch is scored before it is learnt from. The rate with the lowest loss is too high for a
long run: :func:`rate_of` lowers it, by a rule fitted once on three bases (docs/configuration.md). Nothing has to be
known of the base for it, neither widths nor norms.

In a federation without a server each device would try by itself and announce the rate it found, one number; all take
the median.
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
"""The first rate that is tried."""
FACTOR = math.sqrt(10)
"""Between two rates that are tried."""
LOWEST, HIGHEST = FIRST / 100, FIRST * 1000
"""Rates beyond which nothing is tried."""
WALL = 0.05
"""Of the lowest loss: what a loss above it counts for at most."""
STEPS, JUDGED = 8, 3
"""Steps of a trial, and how many of them, the last ones, are judged."""
TRIED = 3
"""Rates that are usually tried, for the forecast of what looking costs."""
SHARE = 0.1
"""Of the steps of one method: what looking may cost, if one device's looking costs no more."""
LEAST, MOST = 2, 6
"""Devices that try, at least (or all that there are) and at most."""
LENGTH = 9.0
"""Steps at the highest rate for which the best rate of a trial is right: fitted (docs/configuration.md)."""


@dataclass(frozen=True)
class FoundRate:
    """The rate of one kind of expert, and how it was found.

    Attributes:
        rate: the highest learning rate of the run.
        best: the rate at which the trials' loss was lowest.
        tried: rate and loss of every trial, in their order; a loss of None was not finite.
        devices: which tried.
        seconds: how long it took.
    """

    rate: float
    best: float
    tried: tuple[tuple[float, float | None], ...]
    devices: tuple[int, ...]
    seconds: float

    def facts(self) -> dict[str, Any]:
        """Return what the run's folder keeps of it."""
        return asdict(self)


def check_rates(config: RunConfig, methods: Sequence[Method]) -> list[str]:
    """Return the kinds of expert whose rate has yet to be found, each once.

    Raises:
        UserError: none is looked for of such experts, or of their optimiser.
    """
    unsettled = [m for m in methods if config.train.unsettled(m.kind.name, m.name)]
    for method in unsettled:
        if not method.kind.frozen_base:
            key = config.train.key(method.kind.name, method.name)
            raise UserError(f"{key}=auto: no rate is looked for of all weights: give a number, for example {key}=1e-4")
    if unsettled and config.train.optimizer != "adam":
        key = config.train.key(unsettled[0].kind.name, unsettled[0].name)
        raise UserError(
            f"{key}=auto finds a rate for Adam, and train.optimizer is {config.train.optimizer}: give a number, for "
            f"example {key}=0.1"
        )
    return list(dict.fromkeys(m.kind.name for m in unsettled))


def with_rates(config: RunConfig, methods: Sequence[Method], found: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    """Return ``config`` with the rates of ``found``, facts by kind of expert, where it says ``auto``."""
    rates, kinds = {kind: facts["rate"] for kind, facts in found.items()}, {m.name: m.kind.name for m in methods}
    return config.model_copy(update={"train": config.train.settled(rates, kinds)})


def rates_note(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one sentence on the rates of ``found``, facts by kind of expert."""
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
    """Look for the rates that ``config`` leaves open, by kind of expert.

    Args:
        base: the frozen model.
        config: the run's settings.
        methods: those that run.
        devices: their data.
        own: what every device has found out so far: its mask, where some method has one.
        factory: builds fresh experts.
        observer: told about progress.
    """
    kinds, found = check_rates(config, methods), {}
    if kinds:
        observer(PhaseStarted("rates", len(kinds)))
    for number, kind in enumerate(kinds):
        found[kind] = _find(base, config, kind, devices, own, factory)
        observer(Progress("rates", number + 1, len(kinds)))
    return found


def _find(
    base: Base,
    config: RunConfig,
    kind: str,
    devices: Sequence[DeviceData],
    own: Sequence[Announcement],
    factory: ExpertFactory,
) -> FoundRate:
    started = time.perf_counter()
    lengths = [sum(len(row.tokens) for row in data.batch(0, config.train.batch)) for data in devices]
    who = trying(config, [data.group for data in devices], lengths)
    fresh: list[Expert] = [
        factory.lora() if kind == "lora" else factory.alone(_masked(own[device], factory)) for device in who
    ]
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
    """Return the highest learning rate of a run whose ``best`` rate over a few steps is known, to two digits.

    It is best min(1, sqrt(LENGTH / T)), T being the run's length, counted in steps at the highest rate, as schedules
    rise and fall.
    """
    length = sum(train.rate(1.0, number) for number in range(train.rounds * train.steps))
    return float(f"{best * min(1.0, math.sqrt(LENGTH / length)):.2g}")


def _masked(own: Announcement, factory: ExpertFactory) -> Announcement:
    """Return ``own`` with its mask, or with all positions of B where no method of the run calibrates one."""
    if own.masks:
        return own
    every = sizes(factory.layers, own.recipe.rank)
    return replace(own, masks=tuple(np.arange(size, dtype=np.int64) for size in every))


def trying(config: RunConfig, groups: Sequence[str], lengths: Sequence[int]) -> list[int]:
    """Return the devices that try: as many as :data:`SHARE` allows, every task group in turn, short rows first.

    Args:
        config: the run's settings.
        groups: of every device its task group.
        lengths: of every device the tokens of a batch.
    """
    count = int(SHARE * len(groups) * config.train.rounds * config.train.steps / (TRIED * STEPS))
    seen: dict[str, int] = {}
    turns = []
    for device, group in enumerate(groups):
        turns.append((seen.setdefault(group, 0), lengths[device], device))
        seen[group] += 1
    return sorted(device for *_, device in sorted(turns)[: min(MOST, max(LEAST, count))])


def best_rate(loss: Callable[[float], float]) -> tuple[float, list[tuple[float, float]]]:
    """Return the rate that minimises ``loss``, and all (rate, loss) that were tried.

    Rates of a geometric grid are tried from :data:`FIRST` on, downhill until the loss rises on both sides; the minimum
    is that of the parabola through the best three over the rate's logarithm. A loss that is more than :data:`WALL`
    above the best counts as no higher: how steep it is where training diverges says nothing of where the minimum lies.
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
