"""Clusters formed anew as devices move: when, and how those who meet learn of each other.

Devices that stand still are clustered once. Those that move are clustered again every ``clusters.reform`` rounds, where
they are then; by default when clusters have just exchanged, so that whoever changes sides holds the newest of everybody
and all have been told what it learnt. Each method has a clock of its own, so its devices are elsewhere and its network
is its own from then on. Nothing of it is stored: the network of a round is a function of the clock before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.network.handshake_cost import handshake_cost
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import Clock, RoundCost, elapsed
from meshtune.node.node import Node
from meshtune.simulator.inboxes import Listener
from meshtune.simulator.introducing import introduce
from meshtune.topology.graphs import components, falls_apart
from meshtune.topology.phrases import listed, sized
from meshtune.wire.ledger import Ledger

Clustering = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Reclustered:
    """One forming anew.

    Attributes:
        method: whose devices.
        round: the first round that is played in these clusters.
        network: theirs.
        moved: devices that are in another cluster than before.
        apart: what the graph falls into, where it does and did not before.
    """

    method: str
    round: int
    network: RunNetwork
    moved: tuple[int, ...]
    apart: str | None

    def facts(self) -> dict[str, Any]:
        """Return what the run's folder keeps of it."""
        told = {"round": self.round, "method": self.method, "time": self.network.time, "moved": list(self.moved)}
        return {**told, **self.network.outline()}


def every(config: RunConfig) -> int | None:
    """Return after how many rounds clusters are formed anew; None where nobody moves."""
    if config.radio is None or config.places.mobility == "static":
        return None
    return config.clusters.reformed


def behind(config: RunConfig, round_: int) -> int:
    """Return how many rounds had been played when the clusters of ``round_`` were formed."""
    rounds = every(config)
    return 0 if rounds is None else (round_ - 1) // rounds * rounds


def network_of(first: RunNetwork, clock: Clock, round_: int) -> RunNetwork:
    """Return the network that a method plays ``round_`` in.

    Args:
        first: that of the first round.
        clock: of the method, at least the rounds before ``round_``.
        round_: from 1 on.
    """
    played = behind(first.site.config, round_)
    return first.at(elapsed(clock[: played + 1])) if played else first


def reform(
    first: RunNetwork,
    method: Method,
    nodes: Sequence[Node],
    round_: int,
    ledger: Ledger,
    clock: Clock,
    listener: Listener | None = None,
) -> tuple[Reclustered, RoundCost] | None:
    """Form clusters anew before ``round_``, if it is time to; return them and what announcing took.

    Args:
        first: the network of the first round.
        method: nothing is formed for one that does not exchange.
        nodes: one per device, by id; their clusters and whom they know are updated.
        round_: from 1 on; bytes are counted as this one's.
        ledger: counts what leaves a device.
        clock: of the method, the rounds before ``round_`` at least.
        listener: shown all that arrives.
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
    clocks: Mapping[str, Clock],
    rounds: int,
) -> list[Reclustered]:
    """Bring members from the first round's clusters to those of round ``rounds``; return all that were formed anew.

    Bytes and time are those of the past: they are in the ledger and the clock already.
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
    """Return the devices that changed their cluster, ids ascending.

    Clusters have no names: each of now goes on as the one that it shares most devices with, of equal ones the first.
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
    """Return one line on the clusters that were formed anew before a round; None where none of them changed."""
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
    return f"round {changed[0].round} was played in other clusters, as devices have moved: {parts}"
