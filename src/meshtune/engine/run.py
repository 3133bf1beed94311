"""A whole run on one machine, from configuration to results: the ``local`` engine.

Prepare, shake hands, play rounds, sit the exam. The store holds everything behind each of these steps, so a run that
was stopped goes on where it was, and ends with the same numbers as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.mask import pack, unpack
from meshtune.adapter.sites import sizes
from meshtune.engine.config import RunConfig, validate
from meshtune.engine.data import DeviceData, deal, digest, exam_questions, exams
from meshtune.engine.federation import announce, handshake, recipes, trains_sparse
from meshtune.engine.memory import peak_memory
from meshtune.engine.observer import Observer
from meshtune.engine.results import results
from meshtune.engine.rounds import State, pack_state, play_round, unpack_state
from meshtune.engine.scoring import sit
from meshtune.engine.store import RunStore
from meshtune.errors import UserError
from meshtune.exchange.ledger import Ledger
from meshtune.learning.base import Base, load, locate
from meshtune.methods.base import Announcement, Member, Method, Workshop
from meshtune.methods.registry import get_method
from meshtune.routing.statistics import Statistics
from meshtune.topology.graphs import neighbours

PREPARED = "prepare"


@dataclass
class _Scene:
    """What a run works with and does not change."""

    config: RunConfig
    base: Base
    methods: list[Method]
    devices: list[DeviceData]
    graph: Mapping[int, Sequence[int]]
    workshop: Workshop


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
    store.append({"event": "start", "round": store.latest_round() or 0, "load_seconds": time.perf_counter() - started})
    state = _begin(scene, store, observer)
    for number in range(state.round, config.train.rounds):
        began = time.perf_counter()
        losses = play_round(
            scene.base, config, scene.methods, scene.devices, scene.graph, scene.workshop, state, observer
        )
        tensors, packed = pack_state(state)
        store.save_round(number + 1, tensors, packed)
        bytes_now = {m.name: state.ledger.total(m.name) for m in scene.methods}
        store.append(
            {
                "event": "round",
                "round": number + 1,
                "losses": losses,
                "bytes": bytes_now,
                "seconds": time.perf_counter() - began,
                "peak_memory_bytes": peak_memory(),
            }
        )
        observer.event("round", round=number + 1, bytes=bytes_now)
    return _finish(scene, state, store, observer)


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
    return _finish(scene, _begin(scene, store, observer), store, observer)


def _scene(config: RunConfig, observer: Observer) -> _Scene:
    methods = [get_method(name) for name in config.methods]
    graph = neighbours(config.graph.kind, len(config.device_tasks), config.graph.neighbours, config.seed)
    observer.event("phase", name="load", total=1)
    locate(config.model)
    devices = deal(config)  # what can be wrong in the data is told before a large model is loaded
    exam_questions(config)
    base = load(config.model, config.adapter.per_layer)
    if config.train.max_tokens > base.longest:
        raise UserError(
            f"train.max_tokens={config.train.max_tokens} is beyond the {base.longest} positions that {base.name} has"
        )
    recipes(config, base.adapters.layers)  # says so before anything is trained if blocks run out
    for device in devices:
        device.tokenizer = base.tokenizer
    workshop = Workshop(base.adapters.layers, config.adapter, config.seed, base.dtype, str(base.device))
    observer.event("advance", name="load", done=1)
    return _Scene(config, base, methods, devices, graph, workshop)


def _begin(scene: _Scene, store: RunStore, observer: Observer) -> State:
    own = _prepared(scene, store, observer)
    ledger = Ledger()
    members: dict[str, list[Member]] = {}
    for method in scene.methods:
        known = handshake(own, method, scene.graph, scene.base.adapters.layers, ledger)
        members[method.name] = [
            Member(a.device, a, method.begin(a, known[a.device], scene.workshop), known=known[a.device]) for a in own
        ]
    state = State(members, {m.name: {} for m in scene.methods}, ledger)
    newest = store.latest_round()
    if newest is not None:
        state = unpack_state(state, *store.load_round(newest))
        observer.event("note", text=f"going on behind round {newest} of {scene.config.train.rounds}")
    else:
        state.seconds.update(store.load(PREPARED)[1]["seconds"])
    return state


def _prepared(scene: _Scene, store: RunStore, observer: Observer) -> list[Announcement]:
    """Return every device's announcement, from the store where it was worked out before."""
    layers = scene.base.adapters.layers
    recipe_of = recipes(scene.config, layers)
    counts = sizes(layers, scene.config.adapter.rank)
    mark = digest(scene.devices)
    if not store.has(PREPARED):
        started = time.perf_counter()
        made = announce(scene.base, scene.config, scene.devices, trains_sparse(scene.config), observer)
        tensors: dict[str, Tensor] = {}
        for a in made:
            if a.masks:
                tensors[f"{a.device}.mask"] = torch.from_numpy(pack(list(a.masks), counts))
            if a.statistics is not None:
                for name, array in a.statistics.to_tensors().items():
                    tensors[f"{a.device}.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
        facts: dict[str, Any] = {
            "data": mark,
            "samples": [a.samples for a in made],
            "counts": [a.statistics.count if a.statistics else 0 for a in made],
            "seconds": {"prepare": time.perf_counter() - started},
        }
        store.save(PREPARED, tensors, facts)
    tensors, facts = store.load(PREPARED)
    if facts["data"] != mark:
        raise UserError(
            f"the training data are not those that {store.path} was begun with: set data, or MESHTUNE_DATA, as it was"
        )
    result = []
    for data, samples, count in zip(scene.devices, facts["samples"], facts["counts"], strict=True):
        mask = tensors.get(f"{data.device}.mask")
        prefix = f"{data.device}."
        arrays = {k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)}
        arrays.pop("mask", None)
        result.append(
            Announcement(
                data.device,
                data.group,
                samples,
                recipe_of[data.group],
                () if mask is None else tuple(unpack(mask.numpy(), counts)),
                Statistics.from_tensors(arrays, count) if arrays else None,
            )
        )
    return result


def _finish(scene: _Scene, state: State, store: RunStore, observer: Observer) -> Path:
    papers = exams(scene.config, scene.base.tokenizer)
    features = sit(scene.base, scene.config, scene.methods, papers, state, scene.workshop, store, observer)
    found = results(
        scene.base, scene.config, scene.methods, state, scene.workshop, features, store.read_scores(), store.events()
    )
    store.write_json("results.json", found)
    store.append({"event": "done", "round": state.round, "seconds": found["header"]["seconds"]})
    observer.event("done", path=store.path)
    return store.path
