"""The learning rate of a run that names none (``auto``): looked for before the first round, one by kind of expert.

Adam's first step moves every value by the rate, against the sign of its gradient. How far along that direction a step
still lowers the loss on rows set aside, says how large steps this base bears with this kind of expert, at this scale,
density and batch; no width or norm has to be known for it. A few devices measure it, each on its first training
batch; the loss that is minimised is their mean. The rate follows from the best step and the length of the run
(:func:`rate_of`), whose constants were fitted once, on three bases (docs/configuration.md).

In a federation without a server devices announce their own best steps, one number a device, and all take the median.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.sites import sizes
from meshtune.engine.config import RunConfig
from meshtune.engine.data import DeviceData
from meshtune.errors import UserError
from meshtune.learning.base import Base
from meshtune.learning.config import LR_KEYS, TrainConfig
from meshtune.learning.evaluate import Ask, score
from meshtune.learning.trainer import accumulate
from meshtune.methods.base import Announcement, Method, Workshop

FIRST = 1e-2
"""The first step that is tried."""
FACTOR = math.sqrt(10)
"""Between two steps that are tried."""
SHORTEST, LONGEST = 1e-5, 1.0
"""Steps beyond which nothing is tried."""
TRIED = 6
"""Steps that are usually tried, for the forecast of what looking costs."""
HELD = 4
"""Rows set aside that each device is judged by."""
SHARE = 0.08
"""Of the training passes of one method: what looking may cost, if one device's looking costs no more."""
MOST = 12
"""Devices and batches that are looked at, at most."""
SIZE = {"sparse": 3.0, "lora": 3.0}
POWER = {"sparse": 0.5, "lora": 0.5}
"""By kind of expert: the rate is SIZE step / length^POWER. Fitted; see docs/configuration.md."""


@dataclass(frozen=True)
class Found:
    """The rate of one kind of expert, and how it was found.

    Attributes:
        rate: the highest learning rate.
        step: the step along the sign of the gradient that lowers the loss most.
        before: loss of the frozen model on the rows that were looked at.
        after: the lowest loss that was seen.
        tried: step and loss, in the order in which they were tried; a loss of None was not finite.
        devices: whose batches and rows were looked at.
    """

    rate: float
    step: float
    before: float
    after: float
    tried: tuple[tuple[float, float | None], ...]
    devices: tuple[int, ...]

    def facts(self) -> dict[str, Any]:
        """Return what the run's folder keeps of it."""
        return asdict(self)


def check_rates(config: RunConfig, methods: Sequence[Method]) -> list[str]:
    """Return the kinds of expert whose rate has yet to be found, each once.

    Raises:
        UserError: they are trained in another way than the one that is looked along.
    """
    unsettled = [m for m in methods if config.train.unsettled(m.kind, m.name)]
    if unsettled and config.train.optimizer != "adam":
        key = config.train.key(unsettled[0].kind, unsettled[0].name)
        raise UserError(
            f"{key}=auto finds a rate for Adam, and train.optimizer is {config.train.optimizer}: give a number, for "
            f"example {key}=0.1"
        )
    return list(dict.fromkeys(m.kind for m in unsettled))


def with_rates(config: RunConfig, methods: Sequence[Method], found: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    """Return ``config`` with the rates of ``found``, facts by kind of expert, where it says ``auto``."""
    rates, kinds = {kind: facts["rate"] for kind, facts in found.items()}, {m.name: m.kind for m in methods}
    return config.model_copy(update={"train": config.train.settled(rates, kinds)})


def rates_note(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one sentence on the rates of ``found``, facts by kind of expert."""
    parts = [
        f"train.{LR_KEYS[kind]}={one['rate']:g} (a step of {one['step']:.2g} takes the NLL on rows set aside from "
        f"{one['before']:.2f} to {one['after']:.2f})"
        for kind, one in found.items()
    ]
    return f"learning rate found: {', '.join(parts)}"


def find_rates(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    own: Sequence[Announcement],
    workshop: Workshop,
) -> dict[str, Found]:
    """Look for the rates that ``config`` leaves open, by kind of expert.

    Args:
        base: the frozen model.
        config: the run's settings.
        methods: those that run.
        devices: their data.
        own: what every device has found out so far: its mask, where some method has one.
        workshop: builds fresh experts.
    """
    return {kind: _find(base, config, kind, devices, own, workshop) for kind in check_rates(config, methods)}


def _find(
    base: Base,
    config: RunConfig,
    kind: str,
    devices: Sequence[DeviceData],
    own: Sequence[Announcement],
    workshop: Workshop,
) -> Found:
    train = config.train
    looks = looked_at(config, [data.group for data in devices])
    ways = [_way(base, config, kind, devices[device], own[device], batch, workshop) for device, batch in looks]
    held = [devices[device].held(HELD) for device, _ in looks]

    def loss(step: float) -> float:
        tried = [way.at(step) if step else None for way in ways]
        asks = [Ask([row], expert) for expert, rows in zip(tried, held, strict=True) for row in rows]
        found = score(base, asks, train.micro_tokens)
        return sum(-one.logprobs[0] / one.tokens[0] for one in found) / len(found)

    before = loss(0.0)
    step, after, tried = best_step(loss, before)
    told = tuple((size, value if math.isfinite(value) else None) for size, value in tried)
    return Found(rate_of(kind, step, train), step, before, after, told, tuple(sorted({d for d, _ in looks})))


def rate_of(kind: str, step: float, train: TrainConfig) -> float:
    """Return the highest learning rate for a best ``step``, rounded to two digits.

    It falls with the length of the run, counted in steps at the highest rate, as schedules rise and fall.
    """
    length = sum(train.rate(1.0, number) for number in range(train.rounds * train.steps))
    return float(f"{SIZE[kind] * step * max(length, 1.0) ** -POWER[kind]:.2g}")


@dataclass(frozen=True)
class _Way:
    """A line through a fresh expert's values (count,), along which one step has the size 1."""

    fresh: Expert
    direction: Tensor

    def at(self, step: float) -> Expert:
        return self.fresh.with_values(self.fresh.values + step * self.direction)


def _way(
    base: Base, config: RunConfig, kind: str, data: DeviceData, own: Announcement, batch: int, workshop: Workshop
) -> _Way:
    """Return the way that Adam's first step takes on the device's batch number ``batch``."""
    fresh: Expert = workshop.lora() if kind == "lora" else workshop.alone(_masked(own, workshop))
    probe = fresh.with_values(fresh.values.clone().requires_grad_())
    train = config.train
    accumulate(base, [(probe, data.batch(batch, train.batch))], train.micro_tokens, train.checkpoint)
    gradient = probe.values.grad
    assert gradient is not None
    return _Way(fresh, -torch.sign(gradient))


def _masked(own: Announcement, workshop: Workshop) -> Announcement:
    """Return ``own`` with its mask, or with all positions of B where no method of the run calibrates one."""
    if own.masks:
        return own
    every = sizes(workshop.layers, own.recipe.rank)
    return replace(own, masks=tuple(np.arange(size, dtype=np.int64) for size in every))


def looked_at(config: RunConfig, groups: Sequence[str]) -> list[tuple[int, int]]:
    """Return the (device, batch) pairs to look at: as many as :data:`SHARE` allows, every task group in turn."""
    train = config.train
    cost = train.batch + TRIED * HELD / 3  # row-steps: a forward pass is a third of a step
    count = int(SHARE * len(groups) * train.rounds * train.steps * train.batch / cost)
    seen: dict[str, int] = {}
    turns = []
    for device, group in enumerate(groups):
        turns.append((seen.setdefault(group, 0), device))
        seen[group] += 1
    ordered = [device for _, device in sorted(turns)]
    batches = train.rounds * train.steps
    chosen = [(ordered[n % len(ordered)], n // len(ordered)) for n in range(min(MOST, max(1, count)))]
    return [(device, batch) for device, batch in chosen if batch < batches]


def best_step(loss: Callable[[float], float], before: float) -> tuple[float, float, list[tuple[float, float]]]:
    """Return the step that minimises ``loss``, the lowest loss seen, and all (step, loss) that were tried.

    Steps of a geometric grid are tried from :data:`FIRST` on, downhill until it rises on both sides; the minimum is
    that of the parabola through the best three over the step's logarithm. A loss that is not finite is too high.
    Where no step is better than ``before``, it is the shortest that was tried.
    """
    tried: dict[int, float] = {}

    def at(n: int) -> float:
        if n not in tried:
            value = loss(FIRST * FACTOR**n)
            tried[n] = value if math.isfinite(value) else math.inf
        return tried[n]

    lowest, highest = (round(math.log(end / FIRST, FACTOR)) for end in (SHORTEST, LONGEST))
    best = 0
    at(0)
    while best > lowest and (at(best - 1) <= tried[best] or tried[best] >= before):
        best -= 1
    while best < highest and at(best + 1) < tried[best]:
        best += 1
    sides = [tried.get(best - 1, math.inf), tried.get(best + 1, math.inf)]
    shift = 0.0
    if all(map(math.isfinite, sides)):
        bend = sides[0] - 2 * tried[best] + sides[1]
        shift = 0.5 * (sides[0] - sides[1]) / bend if bend > 0 else 0.0
    return FIRST * FACTOR ** (best + shift), tried[best], [(FIRST * FACTOR**n, value) for n, value in tried.items()]
