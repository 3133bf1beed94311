"""A whole run on one machine, from configuration to results: the ``local`` engine.

Prepare, shake hands, play rounds, sit the exam. The store holds everything behind each of these steps, so a run that
was stopped goes on where it was, and ends with the same numbers as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshtune.engine.air import Network, connect
from meshtune.engine.budget import Budget, budget_note, budgets, densities_of
from meshtune.engine.clock import Pace, elapsed, joules
from meshtune.engine.config import RunConfig, validate
from meshtune.engine.data import DeviceData, deal, digest, exam_questions, exams
from meshtune.engine.federation import announce, recipes
from meshtune.engine.fits import crowded
from meshtune.engine.flight import Flight
from meshtune.engine.memory import foresee, peak_memory
from meshtune.engine.observer import Observer
from meshtune.engine.own_task import OwnTasks, looks
from meshtune.engine.rates import check_rates, find_rates, rates_note, with_rates
from meshtune.engine.reform import Formed, told
from meshtune.engine.results import results
from meshtune.engine.resume import PREPARED, begin, load_announcements, restore, save_announcements
from meshtune.engine.rounds import State, pack_state, play_round
from meshtune.engine.scoring import sit
from meshtune.engine.site import Site, open_site
from meshtune.engine.store import RunStore
from meshtune.errors import UserError
from meshtune.learning.base import Base, load, locate
from meshtune.learning.full import weights_of
from meshtune.methods.base import Announcement, Method, Workshop
from meshtune.methods.registry import get_method
from meshtune.routing.features import Features
from meshtune.tasks.base import Question
from meshtune.tasks.registry import get_task
from meshtune.topology.graphs import neighbours
from meshtune.topology.linked import Graph


@dataclass
class _Scene:
    """What a run works with and does not change."""

    config: RunConfig
    base: Base
    methods: list[Method]
    devices: list[DeviceData]
    asked: Mapping[str, Sequence[Question]]
    workshop: Workshop
    site: Site | None
    pace: Pace | None
    budgets: Mapping[str, Budget] | None

    @property
    def densities(self) -> tuple[float, ...]:
        """Of every device."""
        return densities_of(self.config, self.budgets)


def run(config: RunConfig, out: Path, observer: Observer) -> Path:
    """Run ``config`` in the folder ``out`` to its end and return the folder.

    A folder that holds the same run is resumed at its last finished round; a finished one is not run again.

    Raises:
        UserError: something in the configuration, the data, the model or the folder that the user can mend.
    """
    started = time.perf_counter()
    facts = config.model_dump(mode="json")
    if RunStore.exists(out):
        store = RunStore.open(out)
        store.check_config(facts)
        scene = _scene(config, observer)
    else:
        RunStore.check_free(out)
        scene = _scene(config, observer)  # before the folder is made: bad input leaves nothing behind
        store = RunStore.create(out, facts)
    loaded = time.perf_counter() - started
    scene, plan = _planned(scene, store, observer)
    store.append({"event": "start", "round": store.latest_round() or 0, "load_seconds": loaded, **plan})
    scene, state, graph, network = _begin(scene, store, observer)
    flight = None if network is None or scene.pace is None else Flight(network, scene.pace)
    own_tasks = OwnTasks(scene.base, scene.config, config, scene.methods, scene.devices, observer)
    for number in range(state.round, config.train.rounds):
        if number and config.eval.every is not None and number % config.eval.every == 0:
            _sit(scene, state, store, observer)
        began = time.perf_counter()
        losses = play_round(
            scene.base,
            scene.config,
            scene.methods,
            scene.devices,
            graph,
            scene.workshop,
            state,
            observer,
            flight,
            own_tasks.judge if looks(config, number + 1) else None,
        )
        judged = own_tasks.taken()
        tensors, packed = pack_state(state)
        store.save_round(number + 1, tensors, packed)
        bytes_now = {m.name: state.ledger.total(m.name) for m in scene.methods}
        clocks = {m: {"seconds": elapsed(clock), "joules": joules(clock)} for m, clock in state.clocks.items()}
        store.append(
            {
                "event": "round",
                "round": number + 1,
                "losses": losses,
                "bytes": bytes_now,
                "seconds": time.perf_counter() - began,
                "peak_memory_bytes": peak_memory(),
                **({"clocks": clocks} if clocks else {}),
                **({"own_tasks": judged} if judged else {}),
            }
        )
        observer.event("round", round=number + 1, bytes=bytes_now)
        formed = [] if flight is None else [one for one in flight.formed if one.round == number + 1]
        _log(formed, store)
        line = told(formed)
        if line is not None:
            observer.event("note", text=line)
    return _finish(scene, state, network, store, observer)


def evaluate(path: Path, observer: Observer, changes: Mapping[str, Any] | None = None) -> Path:
    """Sit the exam again from the newest checkpoint of a run, with other exam settings.

    Args:
        path: the run's folder.
        observer: told about progress.
        changes: replaces parts of the configuration that do not touch training: ``eval``, ``router``.

    Raises:
        UserError: the folder holds no run, or no round of it is finished.
    """
    store = RunStore.open(path)
    if store.latest_round() is None:
        raise UserError(f"{path} has no finished round to evaluate: resume it with meshtune run --out {path}")
    tree = store.config()
    for key, value in (changes or {}).items():
        tree[key] = {**tree[key], **value} if isinstance(value, Mapping) else value
    scene = _scene(validate(tree, str(path)), observer)
    scene, state, _, network = _begin(scene, store, observer)
    return _finish(scene, state, network, store, observer)


def _scene(config: RunConfig, observer: Observer) -> _Scene:
    methods = [get_method(name) for name in config.methods]
    observer.event("phase", name="load", total=1)
    if config.radio is None:
        neighbours(config.graph.kind, len(config.device_tasks), config.graph.neighbours, config.seed)
    site = open_site(config)  # what can be wrong with a graph or with places and gains is told first too
    locate(config.model)
    devices = deal(config)  # what can be wrong in the data is told before a large model is loaded
    asked = exam_questions(config)
    _check_judges(config)
    check_rates(config, methods)
    base = load(config.model, config.adapter.per_layer)
    if config.train.max_tokens > base.longest:
        raise UserError(
            f"train.max_tokens={config.train.max_tokens} is beyond the {base.longest} positions that {base.name} has"
        )
    layers = base.adapters.layers
    recipes(config, layers)  # says so before anything is trained if blocks run out
    planned = budgets(config, site, layers) if site is not None and config.adapter.density == "planned" else None
    for device in devices:
        device.tokenizer = base.tokenizer
    workshop = Workshop(layers, config.adapter, config.seed, base.dtype, str(base.device), lambda: weights_of(base))
    pace = None if config.radio is None else Pace(config, base.parameters, devices)
    observer.event("advance", name="load", done=1)
    if planned is not None:
        observer.event("note", text=budget_note(planned))
    return _Scene(config, base, methods, devices, asked, workshop, site, pace, planned)


def _check_judges(config: RunConfig) -> None:
    """Make sure that answers can be judged, before hours are spent on them.

    Raises:
        UserError: an exam runs what the model has written, and it cannot be isolated here.
    """
    named = [name for task in config.tasks for name in (task.task, *task.also)]
    if config.eval.write and not config.eval.unsafe_code and any(get_task(name).executes for name in named):
        from meshtune.sandbox.run import check_sandbox

        check_sandbox()


def _planned(scene: _Scene, store: RunStore, observer: Observer) -> tuple[_Scene, dict[str, Any]]:
    """Tell how much memory the run will take; return it with the micro-batch that it was begun with, or begins with."""
    first = next((event for event in store.events() if event["event"] == "start"), None)
    found = foresee(scene.base, scene.config, scene.methods, scene.devices, scene.densities)
    observer.event("note", text=found.text())
    plan: dict[str, Any] = {"micro_tokens": found.micro_tokens, "checkpoint": found.checkpoint}
    if first is not None:  # other micro-batches would round otherwise
        plan = {key: first.get(key, value) for key, value in plan.items()}
    train = scene.config.train.model_copy(update=plan)
    config = scene.config.model_copy(update={"train": train})
    return replace(scene, config=config), {**plan, "forecast_bytes": found.total}


def _begin(scene: _Scene, store: RunStore, observer: Observer) -> tuple[_Scene, State, Graph, Network | None]:
    own, facts = _prepared(scene, store, observer)
    scene = replace(scene, config=with_rates(scene.config, scene.methods, facts.get("rates", {})))
    if facts.get("rates"):
        observer.event("note", text=rates_note(facts["rates"]))
        if not any(event["event"] == "rates" for event in store.events()):
            store.append({"event": "rates", **facts["rates"]})
    layers = scene.base.adapters.layers
    graph, network = connect(scene.config, scene.site, own, layers, scene.workshop)
    if network is not None:
        for note in network.notes():
            observer.event("note", text=note)
        if not any(event["event"] == "network" for event in store.events()):
            store.append({"event": "network", **network.facts()})
    state = begin(scene.methods, graph, own, layers, scene.workshop, network)
    if network is not None:
        counts = {m.name: max(one.expert.count for one in state.members[m.name]) for m in scene.methods if m.exchanges}
        for note in crowded(network.site, scene.config.exchange, network.wished, counts):
            observer.event("note", text=note)
    newest = store.latest_round()
    if newest is None:
        state.seconds.update(facts["seconds"])
        return scene, state, graph, network
    state, formed = restore(state, store, scene.methods, scene.workshop, network)
    _log(formed, store)
    observer.event("note", text=f"going on behind round {newest} of {scene.config.train.rounds}")
    return scene, state, graph, network


def _log(formed: Sequence[Formed], store: RunStore) -> None:
    """Log the clusters formed anew that are not logged yet: a crash may have come in between."""
    if formed:
        logged = {(event.get("method"), event.get("round")) for event in store.events() if event["event"] == "network"}
        for one in formed:
            if (one.method, one.round) not in logged:
                store.append({"event": "network", **one.facts()})


def _prepared(scene: _Scene, store: RunStore, observer: Observer) -> tuple[list[Announcement], dict[str, Any]]:
    """Return every device's announcement, from the store where it was worked out before."""
    layers = scene.base.adapters.layers
    mark = digest(scene.devices)
    if not store.has(PREPARED):
        started = time.perf_counter()
        rates: dict[str, Any] = {}

        def settle(own: Sequence[Announcement]) -> RunConfig:
            found = find_rates(scene.base, scene.config, scene.methods, scene.devices, own, scene.workshop, observer)
            rates.update({kind: one.facts() for kind, one in found.items()})
            return with_rates(scene.config, scene.methods, rates)

        made = announce(scene.base, scene.config, scene.devices, scene.methods, observer, scene.densities, settle)
        facts: dict[str, Any] = {"data": mark, "seconds": {"prepare": time.perf_counter() - started}}
        facts |= {"rates": rates} if rates else {}
        save_announcements(store, scene.config, layers, made, facts)
    own, facts = load_announcements(store, scene.config, layers)
    if facts["data"] != mark:
        raise UserError(
            f"the training data are not those that {store.path} was begun with: set data, or MESHTUNE_DATA, as it was"
        )
    return own, facts


def _sit(scene: _Scene, state: State, store: RunStore, observer: Observer) -> dict[str, Features]:
    papers = exams(scene.config, scene.base.tokenizer, scene.asked)
    return sit(scene.base, scene.config, scene.methods, papers, state, scene.workshop, store, observer)


def _finish(scene: _Scene, state: State, network: Network | None, store: RunStore, observer: Observer) -> Path:
    features = _sit(scene, state, store, observer)
    scores, events = store.read_scores(), store.events()
    found = results(
        scene.base, scene.config, scene.methods, state, scene.workshop, features, scores, events, network, scene.budgets
    )
    store.write_json("results.json", found)
    store.append({"event": "done", "round": state.round, "seconds": found["header"]["seconds"]})
    observer.event("done", path=store.path)
    return store.path
