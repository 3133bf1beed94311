"""From a run's folder back to where the run was: what its devices announced, and its newest checkpoint.

Both are restored without the training data, so that a finished run can also be asked where its data are not. Both say
what they were made with, and neither is used with anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meshtune.adapter.mask import pack, unpack
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.engine.air import Network
from meshtune.engine.checkpoint import unpack_state
from meshtune.engine.config import RunConfig
from meshtune.engine.divergence import greeted
from meshtune.engine.federation import handshake, recipes
from meshtune.engine.hello import greeting
from meshtune.engine.manifest import DamagedError, reason
from meshtune.engine.observer import Observer
from meshtune.engine.records import LONGEST
from meshtune.engine.reform import Formed, replay
from meshtune.engine.rounds import State
from meshtune.engine.store import RunStore, round_name
from meshtune.exchange.ledger import Ledger
from meshtune.learning.digest import tensors_digest
from meshtune.methods.base import Announcement, Member, Method, Workshop
from meshtune.routing.statistics import Statistics

PREPARED = "prepare"


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, read and found undamaged.

    Attributes:
        number: the round it was made after.
        tensors, facts: what :func:`meshtune.engine.checkpoint.pack_state` made, and what was stored beside.
    """

    number: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def newest(store: RunStore, rounds: int, observer: Observer | None = None) -> Loaded | None:
    """Return the newest checkpoint; None where no round is finished.

    Args:
        store: the run's folder.
        rounds: how many rounds the run has at most.
        observer: where given, a damaged checkpoint is told there and the one before it is taken instead.

    Raises:
        UserError: the newest one is damaged, and there is no observer.
    """
    for number in reversed(store.rounds()):
        try:
            if number > rounds:
                raise store.damaged(round_name(number), f"the run has {rounds} rounds")
            tensors, facts = store.load_round(number)
            if facts.get("round") != number:
                raise store.damaged(round_name(number), f"it says that it was made after round {facts.get('round')}")
            return Loaded(number, tensors, facts)
        except DamagedError as error:
            if observer is None:
                raise
            left = [n for n in store.rounds() if n < number]
            instead = f"after round {left[-1]}" if left else "after the preparation, at the first round"
            observer.event("note", text=f"{reason(error)}: going on {instead} instead")
    return None


def save_announcements(
    store: RunStore, config: RunConfig, layers: Sequence[LayerSpec], made: Sequence[Announcement], facts: dict[str, Any]
) -> None:
    """Store every device's announcement, and ``facts`` beside them."""
    counts = sizes(layers, config.adapter.rank)
    tensors: dict[str, Tensor] = {}
    for a in made:
        for name, masks in {"calibrated": a.masks, **a.others}.items():
            if masks:
                tensors[f"{a.device}.mask.{name}"] = torch.from_numpy(pack(list(masks), counts))
        if a.scores is not None:  # as they are: what they rank highest is the mask, bit for bit
            tensors[f"{a.device}.scores"] = torch.from_numpy(a.scores)
        if a.codes is not None:
            tensors[f"{a.device}.codes"] = torch.from_numpy(a.codes)
        if a.statistics is not None:
            for name, array in a.statistics.to_tensors().items():
                tensors[f"{a.device}.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
    own = {
        "samples": [a.samples for a in made],
        "counts": [a.statistics.count if a.statistics else 0 for a in made],
    }
    store.save(PREPARED, tensors, {**facts, **own, "digest": tensors_digest(tensors.items())})


def load_announcements(
    store: RunStore, config: RunConfig, layers: Sequence[LayerSpec]
) -> tuple[list[Announcement], dict[str, Any]]:
    """Return every device's announcement and the facts that were stored beside them.

    Raises:
        UserError: the file is missing.
        DamagedError: it is damaged.
        MeshtuneError: it is of another model or rank.
    """
    tensors, facts = store.load(PREPARED)
    try:
        return _announced(config, layers, tensors, facts), facts
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise store.damaged(PREPARED, error) from error


def _announced(
    config: RunConfig, layers: Sequence[LayerSpec], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> list[Announcement]:
    recipe_of = recipes(config, layers)
    counts = sizes(layers, config.adapter.rank)
    for key in ("samples", "counts"):
        if not all(type(n) is int and 0 <= n <= LONGEST for n in facts[key]):
            raise ValueError(f"{key} are impossible")
    if not all(0 <= float(value) <= LONGEST for value in facts["seconds"].values()):
        raise ValueError("seconds are impossible")
    result = []
    for device, task in enumerate(config.device_tasks):
        prefix = f"{device}."
        arrays = {k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)}
        names = [name for name in arrays if name.startswith("mask.")]
        masks = {name.removeprefix("mask."): tuple(unpack(arrays.pop(name), counts)) for name in names}
        codes, scores = arrays.pop("codes", None), arrays.pop("scores", None)
        result.append(
            Announcement(
                device,
                task.key,
                facts["samples"][device],
                recipe_of[task.key],
                masks.pop("calibrated", ()),
                Statistics.from_tensors(arrays, facts["counts"][device]) if arrays else None,
                codes,
                masks,
                scores,
            )
        )
    return result


@greeted()
def begin(
    methods: Sequence[Method],
    graph: Mapping[int, Sequence[int]],
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    workshop: Workshop,
    network: Network | None = None,
) -> State:
    """Return the state after the handshake, before the first round; over ``network`` where there is a radio."""
    state = State({}, {m.name: {} for m in methods}, Ledger())
    clusters = {} if network is None else network.clusters.index
    agreed = None if network is None else network.agreement
    found = own if agreed is None else agreed.of(own)
    for method in methods:
        said = [method.announces(a, workshop) for a in found]
        negotiated = agreed if method.negotiates else None
        hops = [] if negotiated is None else negotiated.charge(method.name, state.ledger)
        told = None if negotiated is None else negotiated.mates
        known = handshake(said, method, graph, layers, state.ledger, hops, told)
        state.members[method.name] = [
            Member(
                a.device,
                a,
                method.begin(a, known[a.device], workshop),
                known=known[a.device],
                clusters=clusters,
                timely=network is not None,
            )
            for a in said
        ]
        if network is not None:
            state.clocks[method.name] = [greeting(network, hops)]
    return state


@greeted()
def restore(
    fresh: State,
    loaded: Loaded | None,
    store: RunStore,
    methods: Sequence[Method],
    workshop: Workshop,
    network: Network | None = None,
) -> tuple[State, list[Formed]]:
    """Return ``fresh`` as it was when ``loaded`` was made, and the clusters formed anew until then.

    Where nothing is loaded, it is as it was. ``network`` is the first round's.

    Raises:
        DamagedError: the checkpoint is none of such a run.
    """
    if loaded is None:
        return fresh, []
    try:
        state = unpack_state(fresh, loaded.tensors, loaded.facts)
    except ValueError as error:
        raise store.damaged(round_name(loaded.number), error) from error
    return state, replay(network, methods, state.members, state.clocks, state.round, workshop)
