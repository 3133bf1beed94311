"""The round loop: train what is distinct once, exchange, mix, checkpoint.

Several methods run side by side on the same data. Two devices' training is the same where they start from the same
values with the same optimiser past on the same rows; it is then done once and shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from meshtune.engine.clock import Clock, pack, unpack
from meshtune.engine.config import RunConfig
from meshtune.engine.data import DeviceData
from meshtune.engine.exchange import Carried, exchange
from meshtune.engine.flight import Flight
from meshtune.engine.observer import Observer
from meshtune.exchange.ledger import Ledger
from meshtune.learning.base import Base
from meshtune.learning.full import train_full
from meshtune.learning.trainer import Job, train
from meshtune.methods.base import Member, Method, Update, Workshop


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


def _train(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    state: State,
    observer: Observer,
) -> dict[str, float]:
    jobs: dict[str, dict[Any, Job]] = {}
    users: dict[tuple[str, Any], list[tuple[str, Member]]] = {}
    first = state.round * config.train.steps
    for method in methods:
        for member in state.members[method.name]:
            lr = config.train.peak(method.kind, method.name)
            who = range(len(devices)) if method.pooled else (member.device,)
            key = (tuple(who), member.expert.digest, member.history, lr)
            pile = jobs.setdefault(method.kind, {})
            if key not in pile:
                elsewhere = method.kind == "full"  # it is trained in the model's place
                pile[key] = Job(
                    member.expert if elsewhere else member.expert.with_values(member.expert.values.clone()),
                    [
                        [row for device in who for row in devices[device].batch(first + step, config.train.batch)]
                        for step in range(config.train.steps)
                    ],
                    lr,
                    first,
                    {name: tensor.clone() for name, tensor in member.moments.items()},
                )
            users.setdefault((method.kind, key), []).append((method.name, member))
    total = len(jobs) * config.train.steps
    done = 0
    losses: dict[str, float] = {}
    for kind, pile in jobs.items():
        names = [users[kind, key] for key in pile]
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

        if kind == "full":
            train_full(base, list(pile.values()), config.train, on_step)
        else:
            train(base, list(pile.values()), config.train, on_step)
        _add(state.seconds, f"train {kind}", time.perf_counter() - started)
        done += config.train.steps
        for key, job in pile.items():
            for name, member in users[kind, key]:
                member.expert, member.moments = job.expert, job.moments
                member.history = (*member.history, key[1])
                losses[f"{name}/{member.device}"] = sum(job.losses) / len(job.losses)
    return losses


def _add(seconds: dict[str, float], key: str, value: float) -> None:
    seconds[key] = seconds.get(key, 0.0) + value


def pack_state(state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state as tensors (each distinct one once) and JSON-able facts."""
    tensors: dict[str, Tensor] = {}
    names: dict[int, str] = {}

    def put(tensor: Tensor) -> str:
        if id(tensor) not in names:
            names[id(tensor)] = f"t{len(names)}"
            tensors[names[id(tensor)]] = tensor.detach().cpu().contiguous()
        return names[id(tensor)]

    members = {
        method: [
            {
                "values": put(m.expert.values),
                "moments": {name: put(tensor) for name, tensor in m.moments.items()},
                "held": [
                    [u.source, u.version, put(u.values), *([] if u.coded is None else [put(u.coded)])]
                    for u in m.held.values()
                ],
                **({} if m.residual is None else {"residual": put(m.residual)}),
                "history": list(m.history),
            }
            for m in pile
        ]
        for method, pile in state.members.items()
    }
    carried = {
        method: [[s, r, source, v] for (s, r), crossed in links.items() for source, v in crossed.items()]
        for method, links in state.carried.items()
    }
    facts = {
        "round": state.round,
        "members": members,
        "carried": carried,
        "ledger": state.ledger.to_json(),
        "seconds": state.seconds,
        "clocks": pack(state.clocks),
    }
    return tensors, facts


def unpack_state(fresh: State, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> State:
    """Fill a state that has just begun with what :func:`pack_state` wrote; the inverse of it, bit for bit.

    Methods that the fresh state has not are left out.
    """
    updates: dict[tuple[Any, ...], Update] = {}
    for method, pile in fresh.members.items():
        for member, saved in zip(pile, facts["members"][method], strict=True):
            member.expert = member.expert.with_values(tensors[saved["values"]])
            member.moments = {name: tensors[key] for name, key in saved["moments"].items()}
            member.history = tuple(saved["history"])
            member.residual = tensors[saved["residual"]] if "residual" in saved else None
            for source, version, *keys in saved["held"]:
                parts = [tensors[key] for key in keys]
                update = updates.setdefault((source, version, *keys), Update(source, version, *parts))
                member.held[source] = update
    for method, links in fresh.carried.items():
        for sender, receiver, source, version in facts["carried"][method]:
            links.setdefault((sender, receiver), {})[source] = version
    fresh.ledger = Ledger.from_json(facts["ledger"])
    fresh.round = facts["round"]
    fresh.seconds = dict(facts["seconds"])
    fresh.clocks.update({m: c for m, c in unpack(facts.get("clocks", {})).items() if m in fresh.members})
    return fresh
