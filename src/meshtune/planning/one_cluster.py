"""The cost of an exchange within a single cluster of all devices, hop by hop, on mean gains.

A device receives updates of devices that it does not hear in the round's own window through others, in every
``clusters.inner_rounds``-th round. Here this is simulated window by window, tracking only who has what, by the same
rule as in rounds (:mod:`meshtune.node.dissemination`) and with the same link budgets: without fading, losses and faults
a run sends exactly these copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from meshtune.network.geometry import Geometry
from meshtune.network.virtual_clock import SLACK
from meshtune.node.dissemination import members, outages, window
from meshtune.planning.relay_load import RelayLoad
from meshtune.topology.graphs import components
from meshtune.topology.linked import Graph
from meshtune.wireless.arrays import Floats
from meshtune.wireless.link_budget import over_the_air
from meshtune.wireless.orthogonal_bands import LinkBudget


@dataclass(frozen=True, eq=False)
class ClusterExchange:
    """What an exchange adds to the round's own window.

    Attributes:
        load: copies sent by each device.
        energy: (n,) joules.
        windows: their number; ``seconds``: their total duration.
        links: (sender, receiver) links that carried something, in the round's own window or later.
    """

    load: RelayLoad
    energy: Floats
    windows: int
    seconds: float
    links: frozenset[tuple[int, int]]


def exchange_by_hops(
    where: Geometry, graph: Graph, pairs: Sequence[tuple[int, int]], bits: float, relay: bool
) -> ClusterExchange:
    """Simulate one exchange.

    Args:
        where: positions and gains; ids are 0 to n - 1.
        graph: neighbours that can be linked.
        pairs: (sender, receiver) links served in the round's own window.
        bits: size of an update.
        relay: whether devices relay others' updates.
    """
    devices, one_copy = len(graph), where.config.cast == "broadcast"
    holds = [1 << device for device in range(devices)]  # sets of sources, one bit each
    own, out, passed = (np.zeros(devices, dtype=np.int64) for _ in range(3))
    for sender, receiver in pairs:
        holds[receiver] |= 1 << sender
        own[sender] = 1 if one_copy else own[sender] + 1
    part = {device: sum(1 << mate for mate in mates) for mates in components(graph) for device in mates}
    links = {(a, b) for a, near in graph.items() for b in near}
    used = set(pairs)
    energy, windows, seconds = np.zeros(devices), 0, 0.0

    def lacking(receiver: int, senders: Sequence[int]) -> Iterator[int]:
        offered = 0
        for sender in senders:
            offered |= holds[sender]
        return members(offered & part[receiver] & ~holds[receiver])

    def provides(sender: int, receiver: int, source: int) -> bool:
        return (relay or source == sender) and bool(holds[sender] >> source & 1)

    while hops := window(graph, links, lacking, provides, one_copy):
        budget = _budget(where, hops, bits)
        served = budget.served.tolist()
        sent = {hop[::2] if one_copy else hop for hop, fits in zip(hops, served, strict=True) if fits}
        for sender, *_, source in sent:
            (out if source == sender else passed)[sender] += 1
        for (sender, receiver, source), fits in zip(hops, served, strict=True):
            if fits:
                holds[receiver] |= 1 << source
                used.add((sender, receiver))
        links.difference_update(outages(hops, served, one_copy))
        energy += budget.sender_energy
        seconds += (int(budget.slot.max(initial=0)) + 1 + SLACK) * where.config.gamma
        windows += 1
    none = np.zeros(devices, dtype=np.int64)
    way = RelayLoad(own, out, passed, none, np.zeros((0, 2), dtype=np.int64))
    return ClusterExchange(way, energy, windows, seconds, frozenset(used))


def _budget(where: Geometry, hops: Sequence[tuple[int, int, int]], bits: float) -> LinkBudget:
    sender, receiver, _ = np.array(hops, dtype=np.int64).T
    return over_the_air(where.config, where.channel, where.positions, sender, receiver, bits, None)
