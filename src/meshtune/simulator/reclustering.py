"""Reclustering of moving devices: when it happens, and how devices that meet learn of each other.

Static devices are clustered once. Moving devices are clustered again every ``clusters.reform`` rounds at their current
positions. By default that is right after clusters have exchanged: a device that changes cluster then holds the newest
update of everybody, and everybody holds its update. Each method has its own clock, so its devices are at other
positions than another method's, and so its network differs. Nothing of this is stored: the network of a round is a
function of the clock before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.network.handshake_cost import handshake_cost
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import RoundCost, RoundCosts, elapsed
from meshtune.node.node import Node
from meshtune.simulator.inboxes import Listener
from meshtune.simulator.introducing import introduce
from meshtune.topology.graphs import components, falls_apart
from meshtune.topology.phrases import listed, sized
from meshtune.wire.ledger import Ledger

Clustering = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Reclustered:
    """One reclustering.

    Attributes:
        method: the method whose devices were reclustered.
        round: the first round in the new clusters.
        network: the new network.
        moved: devices that are in another cluster than before.
        apart: the parts that the graph falls into, if it has more parts than before; otherwise None.
    """

    method: str
    round: int
    network: RunNetwork
    moved: tuple[int, ...]
    apart: str | None

    def facts(self) -> dict[str, Any]:
        """Return the record of it for the run's folder."""
        told = {"round": self.round, "method": self.method, "time": self.network.time, "moved": list(self.moved)}
        return {**told, **self.network.outline()}


def every(config: RunConfig) -> int | None:
    """Return the number of rounds between reclusterings; None if nobody moves."""
    if config.radio is None or config.places.mobility == "static":
        return None
    return config.clusters.reformed


def behind(config: RunConfig, round_: int) -> int:
    """Return how many rounds had been played when the clusters of ``round_`` were formed."""
    rounds = every(config)
    return 0 if rounds is None else (round_ - 1) // rounds * rounds


def network_of(first: RunNetwork, clock: RoundCosts, round_: int) -> RunNetwork:
    """Return the network in which a method plays ``round_``.

    Args:
        first: the network of the first round.
        clock: the method's clock, covering at least the rounds before ``round_``.
        round_: from 1.
    """
    played = behind(first.site.config, round_)
    return first.at(elapsed(clock[: played + 1])) if played else first


def reform(
    first: RunNetwork,
    method: Method,
    nodes: Sequence[Node],
    round_: int,
    ledger: Ledger,
    clock: RoundCosts,
    listener: Listener | None = None,
) -> tuple[Reclustered, RoundCost] | None:
    """Recluster before ``round_`` if it is due; return the result and the cost of announcing.

    Args:
        first: the network of the first round.
        method: a method that does not exchange is not reclustered.
        nodes: one per device, by id; their clusters and the devices they know are updated.
        round_: from 1; bytes are charged to it.
        ledger: counts the bytes sent.
        clock: the method's clock, covering at least the rounds before ``round_``.
        listener: called with every envelope that arrives.
    """
    if not method.sharing.sends or round_ == 1 or behind(first.site.config, round_) != round_ - 1:
        return None
    before, now = (network_of(first, clock, number) for number in (round_ - 1, round_))
    for node in nodes:
        node.member.clusters = now.formed.clusters.index
        node.begin_round(replace(node.rules, round=round_))
    hops, said = introduce(nodes, now.formed.graph, ledger, listener, elapsed(clock))
    parts, parts_before = (len(components(network.formed.graph)) for network in (now, before))
    apart = falls_apart(now.formed.graph) if parts > parts_before else None
    changed = moved(before.formed.clusters.clusters, now.formed.clusters.clusters)
    return Reclustered(method.name, round_, now, changed, apart), handshake_cost(now, hops, said)


def replay(
    first: RunNetwork | None,
    methods: Sequence[Method],
    nodes: Mapping[str, Sequence[Node]],
    clocks: Mapping[str, RoundCosts],
    rounds: int,
) -> list[Reclustered]:
    """Move members from the first round's clusters to those of round ``rounds``; return all reclusterings.

    Nothing is charged: the bytes and time are already in the ledger and the clock.
    """
    if first is None:
        return []
    found = []
    for round_ in range(1, rounds + 1):
        for method in methods:
            clock = clocks[method.name]
            again = reform(first, method, nodes[method.name], round_, Ledger(), clock)
            found += [] if again is None else [again[0]]
    return found


def moved(before: Clustering, now: Clustering) -> tuple[int, ...]:
    """Return the devices that changed cluster, ids ascending.

    Clusters have no identity. Each new cluster continues the old one with which it shares most devices; the first one
    wins ties.
    """
    shared = sorted(
        (-len(set(new) & set(old)), at, was) for at, new in enumerate(now) for was, old in enumerate(before)
    )
    goes_on: dict[int, int] = {}
    for overlap, at, was in shared:
        if overlap and at not in goes_on and was not in goes_on.values():
            goes_on[at] = was
    same = {device for at, was in goes_on.items() for device in set(now[at]) & set(before[was])}
    return tuple(sorted({device for cluster in now for device in cluster} - same))


def reclustering_note(formed: Sequence[Reclustered]) -> str | None:
    """Return a one-line note on the clusters formed before a round; None if none of them changed."""
    changed = [one for one in formed if one.moved]
    if not changed:
        return None
    same: dict[tuple[Any, ...], list[str]] = {}
    for one in changed:
        clusters = one.network.formed.clusters.clusters
        numbers = f"{len(clusters)} of {sized(clusters)}, {listed(one.moved)} changed"
        same.setdefault((numbers, one.apart), []).append(one.method)
    parts = "; ".join(
        f"{' and '.join(names)} {numbers}{f' ({apart})' if apart else ''}" for (numbers, apart), names in same.items()
    )
    return f"round {changed[0].round} used other clusters, as devices have moved: {parts}"
