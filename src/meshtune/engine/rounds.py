"""The round loop: train what is distinct once, exchange, mix, checkpoint.

Several methods run side by side on the same data. Two devices' training is the same where they start from the same
values with the same optimiser past on the same rows; it is then done once and shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshtune.engine.clock import Clock
from meshtune.engine.config import RunConfig
from meshtune.engine.data import DeviceData
from meshtune.engine.divergence import diverged, explained
from meshtune.engine.exchange import Carried, exchange
from meshtune.engine.flight import Flight
from meshtune.engine.observer import Observer
from meshtune.errors import DivergedError
from meshtune.exchange.ledger import Ledger
from meshtune.learning.base import Base
from meshtune.learning.full import train_full
from meshtune.learning.trainer import Job, train
from meshtune.methods.base import Member, Method, Workshop

JobKey = tuple[tuple[int, ...], str, tuple[str, ...], float]
"""What makes two members' training the same: whose rows, the expert's digest, the optimiser's past, the rate."""


@dataclass
class State:
    """Everything that changes from round to round, and nothing else.

    Attributes:
        members: per method one member per device.
        carried: per method what crossed each link, where links are free.
        ledger: bytes so far.
        round: rounds done.
        seconds: training seconds by kind of adapter, and exchange seconds.
        clocks: per method its virtual clock, where there is a radio.
    """

    members: dict[str, list[Member]]
    carried: dict[str, Carried]
    ledger: Ledger
    round: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)


def play_round(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    graph: Mapping[int, Sequence[int]],
    workshop: Workshop,
    state: State,
    observer: Observer,
    flight: Flight | None = None,
    judge: Callable[[Mapping[str, Sequence[Member]]], None] | None = None,
) -> dict[str, float]:
    """Play one round for all methods; return the mean loss of every ``method/device``.

    The exchange goes over the air with ``flight``, else for free over ``graph``. ``judge`` is shown what has been
    trained, before anything is sent.

    Raises:
        UserError: a device's training diverged, or a device refused a message.
    """
    losses = _train(base, config, methods, devices, state, observer)
    started = time.perf_counter()
    if judge is not None:
        judge(state.members)
        _add(state.seconds, "check", time.perf_counter() - started)
        started = time.perf_counter()
    state.round += 1
    workshop.forget()
    for method in methods:
        members = state.members[method.name]
        with explained(config, method, state.round):
            if flight is None:
                exchange(
                    method,
                    members,
                    graph,
                    state.round,
                    config.exchange,
                    config.graph.relay,
                    state.carried[method.name],
                    state.ledger,
                    workshop,
                )
            else:
                flight.exchange(method, members, state.round, state.ledger, state.clocks[method.name], workshop)
        for member in members:
            trained = member.expert
            method.mix(member, workshop)
            if member.expert is trained:  # its own unrounded values: what the update left out is still in them
                member.residual = None
    _add(state.seconds, "exchange", time.perf_counter() - started)
    return losses


def distinct_jobs(
    config: RunConfig, methods: Sequence[Method], state: State, devices: int
) -> dict[str, dict[JobKey, list[tuple[str, Member]]]]:
    """Return by kind of adapter what the next round trains, each with the (method, member) that share it."""
    found: dict[str, dict[JobKey, list[tuple[str, Member]]]] = {}
    for method in methods:
        lr = config.train.peak(method.kind, method.name)
        for member in state.members[method.name]:
            who = tuple(range(devices)) if method.pooled else (member.device,)
            key = (who, member.expert.digest, member.history, lr)
            found.setdefault(method.kind, {}).setdefault(key, []).append((method.name, member))
    return found


def _train(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    state: State,
    observer: Observer,
) -> dict[str, float]:
    first = state.round * config.train.steps
    users = distinct_jobs(config, methods, state, len(devices))
    jobs: dict[str, dict[JobKey, Job]] = {}
    for kind, sharing in users.items():
        for key, mine in sharing.items():
            who, lr, member = key[0], key[3], mine[0][1]
            jobs.setdefault(kind, {})[key] = Job(
                # All weights are trained in the model's own place; other values in place, so in a copy.
                member.expert if kind == "full" else member.expert.with_values(member.expert.values.clone()),
                [
                    [row for device in who for row in devices[device].batch(first + step, config.train.batch)]
                    for step in range(config.train.steps)
                ],
                lr,
                first,
                {name: tensor.clone() for name, tensor in member.moments.items()},
            )
    total = len(jobs) * config.train.steps
    done = 0
    losses: dict[str, float] = {}
    for kind, pile in jobs.items():
        names = list(users[kind].values())
        started = time.perf_counter()

        def on_step(
            step: int,
            now: list[float],
            tokens: int,
            names: Any = names,
            started: float = started,
            done: int = done,
        ) -> None:
            observer.event(
                "step",
                round=state.round,
                rounds=config.train.rounds,
                step=done + step + 1,
                steps=total,
                losses={f"{m}/{u.device}": loss for mine, loss in zip(names, now, strict=True) for m, u in mine},
                tokens_per_second=tokens / (time.perf_counter() - started),
            )

        try:
            (train_full if kind == "full" else train)(base, list(pile.values()), config.train, on_step)
        except DivergedError as error:
            name, member = names[error.number][0]
            method = next(method for method in methods if method.name == name)
            raise diverged(config, method, member.device, state.round + 1, error.what) from error
        _add(state.seconds, f"train {kind}", time.perf_counter() - started)
        done += config.train.steps
        for key, job in pile.items():
            for name, member in users[kind][key]:
                member.expert, member.moments = job.expert, job.moments
                member.history = (*member.history, key[1])
                losses[f"{name}/{member.device}"] = sum(job.losses) / len(job.losses)
    return losses


def _add(seconds: dict[str, float], key: str, value: float) -> None:
    seconds[key] = seconds.get(key, 0.0) + value
