"""A whole run on one machine, from configuration to results: the ``local`` engine.

It prepares, shakes hands, plays rounds and scores. The store is up to date after each of these steps, so a run that was
interrupted resumes from there and ends with the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import digest, exam_digest
from meshtune.errors import UserError
from meshtune.evaluation.exam import candidates, score_exams, signature
from meshtune.evaluation.results import results, whole_exam
from meshtune.evaluation.time_forecast import Duration, Forecast, forecast_time, measure_speed
from meshtune.files import resuming
from meshtune.network.federation_state import FederationState
from meshtune.network.link_fit import crowded
from meshtune.network.network_notes import network_notes
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import elapsed, joules
from meshtune.routing.features import Features
from meshtune.runs.checksums import checksum
from meshtune.runs.events import Note, RoundDone, RunDone
from meshtune.runs.lock import held
from meshtune.runs.manifest import bound
from meshtune.runs.observer import Observer
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore
from meshtune.simulator.checkpoint import pack_state
from meshtune.simulator.connecting import connect
from meshtune.simulator.radio_exchange import RadioExchange
from meshtune.simulator.reclustering import Reclustered, reclustering_note
from meshtune.simulator.reopening import prepared, reopened
from meshtune.simulator.resume import Loaded, begin, newest, restore
from meshtune.simulator.rounds import play_round
from meshtune.simulator.run_inputs import RunInputs, announced, load_inputs, planned, rated
from meshtune.training.own_task import OwnTasks, looks
from meshtune.training.process_memory import peak_memory


def run(config: RunConfig, out: Path, observer: Observer) -> Path:
    """Run ``config`` to the end in the folder ``out`` and return the folder.

    If the folder holds the same run, it is resumed after its last finished round; a finished run is not run again.

    Raises:
        UserError: the user has to correct something in the configuration, the data, the model or the folder.
    """
    started = time.perf_counter()
    facts = config.model_dump(mode="json")
    with ExitStack() as stack:
        store = None
        if RunStore.exists(out):
            RunStore.open(out).check_config(facts)  # before locking: do not touch another run's folder
            stack.enter_context(held(out, observer))
            store = reopened(out, observer, facts)
        else:
            RunStore.check_free(out)
        inputs = load_inputs(config, observer)  # before creating a folder: bad input leaves nothing behind
        if store is None:
            RunStore.make_folder(out)
            stack.enter_context(held(out, observer))
            # Another process may have made the same run while this one loaded.
            store = reopened(out, observer, facts) if RunStore.exists(out) else RunStore.create(out, facts)
        return _played(inputs, store, observer, time.perf_counter() - started)


def _played(inputs: RunInputs, store: RunStore, observer: Observer, loaded: float) -> Path:
    config = inputs.config
    stamp = _stamp(inputs, store, exam=True)
    last = newest(store, config.train.rounds, observer)
    inputs, plan = planned(inputs, store, last, observer)
    store.append({"event": "start", "round": last.number if last else 0, "load_seconds": loaded, **plan})
    if not any(event["event"] == "data" for event in store.events()):
        store.append({"event": "data", "tasks": inputs.counts})
    inputs, state, network, made = _begin(inputs, store, stamp, last, observer)
    radio = None if network is None or inputs.pace is None else RadioExchange(network, inputs.pace)
    forecast = _foretold(inputs, state, store, observer)
    own_tasks = OwnTasks(inputs.base, inputs.config, config, inputs.methods, inputs.devices, observer)
    for number in range(state.round, config.train.rounds):
        if number and config.eval.every is not None and number % config.eval.every == 0:
            _score(inputs, state, store, observer)
        began, refused_before = time.perf_counter(), _refused(state)
        losses = play_round(
            inputs.base,
            inputs.config,
            inputs.methods,
            inputs.devices,
            inputs.factory,
            state,
            observer,
            radio,
            own_tasks.judge if looks(config, number + 1) else None,
        )
        judged = own_tasks.taken()
        tensors, packed = pack_state(state)
        store.save_round(number + 1, tensors, {**packed, "made": made})
        took = time.perf_counter() - began
        line = forecast.correct(took)
        if line is not None:
            observer(Note(line))
        bytes_now = {m.name: state.ledger.total(m.name) for m in inputs.methods}
        clocks = {m: {"seconds": elapsed(clock), "joules": joules(clock)} for m, clock in state.clocks.items()}
        store.append(
            {
                "event": "round",
                "round": number + 1,
                "losses": losses,
                "bytes": bytes_now,
                "seconds": took,
                "peak_memory_bytes": peak_memory(),
                **({"clocks": clocks} if clocks else {}),
                **({"own_tasks": judged} if judged else {}),
            }
        )
        observer(RoundDone(number + 1, bytes_now))
        refused = _refused(state) - refused_before
        if refused:
            observer(Note(f"{refused} messages were refused in round {number + 1} and ignored"))
        formed = [] if radio is None else [one for one in radio.formed if one.round == number + 1]
        _log(formed, store)
        line = reclustering_note(formed)
        if line is not None:
            observer(Note(line))
    return _finish(inputs, state, network, store, observer)


def evaluate(path: Path, observer: Observer, changes: Mapping[str, Any] | None = None) -> Path:
    """Score the exams again from the newest checkpoint of a run, with other exam settings.

    Args:
        path: the run's folder.
        observer: receives progress events.
        changes: replacements for parts of the configuration that do not affect training: ``eval``, ``router``.

    Raises:
        UserError: the folder holds no run, or no finished round.
    """
    RunStore.open(path)
    with held(path, observer):
        store = reopened(path, observer)
        tree = store.config()
        begun = validate(tree, str(path))
        last = newest(store, begun.train.rounds)
        if last is None:
            raise UserError(f"{path} has no finished round to evaluate: resume it with {resuming(path)}")
        for key, value in (changes or {}).items():
            tree[key] = {**tree[key], **value} if isinstance(value, Mapping) else value
        config = validate(tree, str(path))
        for name in config.router.names:
            begun.router.check_announced(name)
        inputs = load_inputs(config, observer)
        inputs, state, network, _ = _begin(inputs, store, _stamp(inputs, store), last, observer)
        return _finish(inputs, state, network, store, observer)


def _stamp(inputs: RunInputs, store: RunStore, exam: bool = False) -> Stamp:
    """Return what the run is made with and, with ``exam``, its exam questions: another exam has other questions."""
    asked = exam_digest({paper.name: paper.questions for paper in inputs.papers}) if exam else None
    return Stamp(checksum(bound(store.config())), inputs.base.digest, digest(inputs.devices), asked)


def _begin(
    inputs: RunInputs, store: RunStore, stamp: Stamp, last: Loaded | None, observer: Observer
) -> tuple[RunInputs, FederationState, RunNetwork | None, dict[str, Any]]:
    """Return the inputs with the learning rates found, the state of the run, the network, and the checkpoint's record
    of what it was made with.
    """
    layers = inputs.base.adapters.layers
    own, facts = prepared(store, inputs.config, layers, stamp, lambda: announced(inputs, observer), last, observer)
    inputs = rated(inputs, facts.get("rates", {}), store, observer)
    graph, network = connect(inputs.config, inputs.site, own, layers, inputs.factory)
    if network is not None:
        for note in network_notes(network):
            observer(Note(note))
        if not any(event["event"] == "network" for event in store.events()):
            store.append({"event": "network", **network.facts()})
    state = begin(inputs.methods, graph, own, layers, inputs.factory, network)
    if network is not None:
        most = {m: max(one.expert.most for one in state.members[m.name]) for m in inputs.methods if m.sharing.sends}
        adapter, exchange = inputs.config.adapter, inputs.config.exchange
        updates = {
            m.name: m.kind.update_bytes(count, layers, adapter, exchange.values, exchange.block)
            for m, count in most.items()
        }
        for note in crowded(network.site, network.formed.wanted, updates):
            observer(Note(note))
    made = {**stamp.facts(), "prepared": facts["digest"], "plan": facts["made"]["plan"]}
    if last is None:
        state.seconds.update(facts["seconds"])
        return inputs, state, network, made
    state, formed = restore(state, last, store, inputs.methods, inputs.factory, network)
    _log(formed, store)
    observer(Note(f"resuming after round {last.number} of {inputs.config.train.rounds}"))
    return inputs, state, network, made


def _foretold(inputs: RunInputs, state: FederationState, store: RunStore, observer: Observer) -> Forecast:
    """Forecast how long the rest of the run will take."""
    left = inputs.config.train.rounds - state.round
    if not left:
        return Forecast(Duration(0.0, 0.0, False), 0)
    speed = measure_speed(inputs.base, inputs.config, inputs.devices, inputs.factory)
    labels = {c.label: c.method for c in candidates(inputs.config, inputs.methods, state)}
    found = forecast_time(speed, inputs.config, inputs.methods, inputs.devices, state, inputs.papers, labels)
    observer(Note(found.text()))
    store.append({"event": "forecast", "round": state.round, "training": found.training, "scoring": found.scoring})
    return Forecast(found, left)


def _refused(state: FederationState) -> int:
    """Return how many messages nodes have refused so far."""
    return sum(node.refused.total() for nodes in state.nodes.values() for node in nodes)


def _log(formed: Sequence[Reclustered], store: RunStore) -> None:
    """Log the reclusterings that are not logged yet; a crash may have come in between."""
    if formed:
        logged = {(event.get("method"), event.get("round")) for event in store.events() if event["event"] == "network"}
        for one in formed:
            if (one.method, one.round) not in logged:
                store.append({"event": "network", **one.facts()})


def _score(inputs: RunInputs, state: FederationState, store: RunStore, observer: Observer) -> dict[str, Features]:
    return score_exams(
        inputs.base, inputs.config, inputs.methods, inputs.papers, state, inputs.factory, store, observer
    )


def _finish(
    inputs: RunInputs, state: FederationState, network: RunNetwork | None, store: RunStore, observer: Observer
) -> Path:
    features = _score(inputs, state, store, observer)
    scores, events = store.read_scores(), store.events()
    for note in whole_exam(scores, signature(inputs.config), state)[1]:
        observer(Note(note))
    found = results(
        inputs.base,
        inputs.config,
        inputs.methods,
        state,
        inputs.factory,
        features,
        scores,
        events,
        network,
        inputs.budgets,
    )
    store.write_json("results.json", found)
    store.append({"event": "done", "round": state.round, "seconds": found["header"]["seconds"]})
    observer(RunDone(store.path))
    return store.path
