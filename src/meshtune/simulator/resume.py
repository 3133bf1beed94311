"""Resuming a run from its folder: the devices' announcements and the newest checkpoint.

Both are restored without the training data, so a finished run can be queried on a machine without the data. Both record
what they were made with, and neither is used with anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from meshtune.adapter.sites import LayerSpec
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Announcement
from meshtune.network.federation_state import FederationState
from meshtune.network.handshake_cost import handshake_cost
from meshtune.network.run_network import RunNetwork
from meshtune.node.envelope import Envelope
from meshtune.runs.events import Note
from meshtune.runs.manifest import DamagedError, reason
from meshtune.runs.observer import Observer
from meshtune.runs.store import RunStore, round_name
from meshtune.simulator.checkpoint import unpack_state
from meshtune.simulator.inboxes import Listener
from meshtune.simulator.introducing import Hop, introduce, nodes_of
from meshtune.simulator.reclustering import Reclustered, replay
from meshtune.training.divergence import handshake_errors
from meshtune.wire.ledger import Ledger


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that was read and found undamaged.

    Attributes:
        number: the round after which it was made.
        tensors, facts: what :func:`meshtune.simulator.checkpoint.pack_state` returned, and facts stored with it.
    """

    number: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def newest(store: RunStore, rounds: int, observer: Observer | None = None) -> Loaded | None:
    """Return the newest checkpoint; None if no round is finished.

    Args:
        store: the run's folder.
        rounds: the number of rounds of the run.
        observer: if given, a damaged checkpoint is reported to it and the previous one is used instead.

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
            observer(Note(f"{reason(error)}: resuming {instead} instead"))
    return None


@handshake_errors()
def begin(
    methods: Sequence[Method],
    graph: Mapping[int, Sequence[int]],
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    factory: ExpertFactory,
    network: RunNetwork | None = None,
    listener: Listener | None = None,
) -> FederationState:
    """Return the state after the handshake, before the first round; with a radio, the handshake goes over ``network``.

    ``listener`` is called with every envelope that arrives.
    """
    state = FederationState({}, Ledger())
    clusters = {} if network is None else network.formed.clusters.index
    agreement = None if network is None else network.agreement
    found = own if agreement is None else agreement.of(own)
    for method in methods:
        said = [method.announces(a, factory) for a in found]
        negotiated = agreement if method.masks.negotiable else None
        hops: list[Hop] = [] if negotiated is None else [*negotiated.charge(method.name, state.ledger)]
        known = {} if negotiated is None else negotiated.known
        nodes = nodes_of(said, method, factory, clusters, network is None, known)
        control: list[Sequence[Envelope]] = []
        if method.sharing.sends:
            met, control = introduce(nodes, graph, state.ledger, listener)
            hops += met
        for node in nodes:
            node.begin()
            node.links = tuple(graph[node.device])
        state.nodes[method.name] = nodes
        if network is not None:
            state.clocks[method.name] = [handshake_cost(network, hops, control)]
    return state


@handshake_errors()
def restore(
    fresh: FederationState,
    loaded: Loaded | None,
    store: RunStore,
    methods: Sequence[Method],
    factory: ExpertFactory,
    network: RunNetwork | None = None,
) -> tuple[FederationState, list[Reclustered]]:
    """Return ``fresh`` restored to ``loaded``, and the reclusterings up to then.

    If nothing is loaded, ``fresh`` is returned unchanged. ``network`` is the first round's.

    Raises:
        DamagedError: the checkpoint does not belong to such a run.
    """
    if loaded is None:
        return fresh, []
    try:
        state = unpack_state(fresh, loaded.tensors, loaded.facts)
    except ValueError as error:
        raise store.damaged(round_name(loaded.number), error) from error
    return state, replay(network, methods, state.nodes, state.clocks, state.round)
