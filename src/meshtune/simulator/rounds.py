"""The round loop: train every distinct job once, exchange, mix, checkpoint.

Several methods run side by side on the same data. The training of two devices is identical if they start from the same
values with the same optimiser history on the same rows. It is then done once and shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.errors import DivergedError
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
from meshtune.model.base import Base
from meshtune.network.federation_state import FederationState, JobKey, distinct_jobs
from meshtune.node.node import Node
from meshtune.node.updates import UpdateRules
from meshtune.runs.events import StepDone
from meshtune.runs.observer import Observer
from meshtune.simulator.free_links import FreeExchange
from meshtune.simulator.radio_exchange import RadioExchange
from meshtune.training.divergence import diverged, explained
from meshtune.training.full_parameters import train_full
from meshtune.training.trainer import Job, train


def play_round(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    factory: ExpertFactory,
    state: FederationState,
    observer: Observer,
    links: FreeExchange | RadioExchange | None = None,
    judge: Callable[[Mapping[str, Sequence[Member]]], None] | None = None,
) -> dict[str, float]:
    """Play one round for all methods; return the mean loss of every ``method/device``.

    The exchange goes over ``links``, free ones by default. ``judge`` is called with the trained members before anything
    is sent.

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
    factory.release()
    for method in methods:
        nodes = state.nodes[method.name]
        rules = UpdateRules(method, factory, config.exchange, state.round, config.graph.relay)
        with explained(config, method, state.round):
            exchange_round(nodes, rules, links or FreeExchange(), state)
    _add(state.seconds, "exchange", time.perf_counter() - started)
    return losses


def exchange_round(
    nodes: Sequence[Node], rules: UpdateRules, links: FreeExchange | RadioExchange, state: FederationState
) -> None:
    """Let the nodes of one method exchange what they have trained, and mix what arrives.

    Args:
        nodes: all nodes of the method.
        rules: the rules of the round.
        links: carry the messages.
        state: its ledger and clock count what is sent.

    Raises:
        DivergedError: a device's values are not finite, or out of range for the value type sent.
        PayloadError: a device refused an announcement.
    """
    method = rules.method
    for node in nodes:
        node.begin_round(rules)
    if isinstance(links, RadioExchange):
        links.exchange(method, nodes, rules.round, state.ledger, state.clocks[method.name])
    else:
        links.exchange(method, nodes, rules.round, state.ledger)
    for node in nodes:
        node.end_round()
    rules.cache.release()  # do not keep the messages of a large model while others are exchanged


def _train(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    state: FederationState,
    observer: Observer,
) -> dict[str, float]:
    first = state.round * config.train.steps
    users = distinct_jobs(config, methods, state, len(devices))
    jobs: dict[str, dict[JobKey, Job]] = {}
    for kind, sharing in users.items():
        for key, mine in sharing.items():
            who, lr, node = key[0], key[3], mine[0][1]
            batches = [
                [row for device in who for row in devices[device].batch(first + step, config.train.batch)]
                for step in range(config.train.steps)
            ]
            jobs.setdefault(kind, {})[key] = node.job(batches, lr, first)
    total = len(jobs) * config.train.steps
    done = 0
    losses: dict[str, float] = {}
    for kind, group in jobs.items():
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
            observer(
                StepDone(
                    round=state.round + 1,
                    rounds=config.train.rounds,
                    step=done + step + 1,
                    steps=total,
                    losses={f"{m}/{u.device}": loss for mine, loss in zip(names, now, strict=True) for m, u in mine},
                    tokens_per_second=tokens / (time.perf_counter() - started),
                )
            )

        try:
            (train_full if kind == "full" else train)(base, list(group.values()), config.train, on_step)
        except DivergedError as error:
            name, node = names[error.number][0]
            method = next(method for method in methods if method.name == name)
            raise diverged(config, method, node.device, state.round + 1, error.what) from error
        _add(state.seconds, f"train {kind}", time.perf_counter() - started)
        done += config.train.steps
        for key, job in group.items():
            for name, node in users[kind][key]:
                node.trained(job)
                losses[f"{name}/{node.device}"] = sum(job.losses) / len(job.losses)
    return losses


def _add(seconds: dict[str, float], key: str, value: float) -> None:
    seconds[key] = seconds.get(key, 0.0) + value
