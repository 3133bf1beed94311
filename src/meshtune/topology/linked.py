"""Links within clusters; runs and plans use the same function.

A cluster formed by AGNES links all its members. A single cluster of all devices links those that ``graph.kind``
selects, within range and power: a link, taken alone, has to fit into the power of both its ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshtune.topology.alone import alone
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import Clusters
from meshtune.topology.config import ClusterConfig, GraphConfig
from meshtune.topology.graphs import neighbours
from meshtune.topology.phrases import listed
from meshtune.topology.radio_graphs import random_within

Graph = dict[int, tuple[int, ...]]
"""Neighbours by device id, ids ascending."""


@dataclass(frozen=True)
class Linked:
    """Neighbours within clusters.

    Attributes:
        rule: the setting that selects them; None if all members of a cluster are linked.
        asked: the selected neighbours, regardless of link cost.
        heard: those of them that can be linked.
    """

    rule: str | None
    asked: Graph
    heard: Graph

    @property
    def missing(self) -> int:
        """Pairs that are selected but cannot be linked."""
        return sum(len(near) - len(self.heard[device]) for device, near in self.asked.items()) // 2

    @property
    def pairs(self) -> int:
        """Pairs that are selected."""
        return sum(map(len, self.asked.values())) // 2

    def alone(self, air: LinkBounds) -> dict[int, str]:
        """Return the devices that have no neighbour, whether for want of one or by the rule, ids ascending, and why."""
        found = alone(air)
        if self.rule is not None:
            found |= {d: self._lone(d) for d, near in self.heard.items() if not near and d not in found}
        return dict(sorted(found.items()))

    def why(self, device: int) -> str:
        """Return why a device of a single cluster has its neighbours."""
        if self.rule is None:
            return "all devices are one cluster (clusters.kind=single), whatever collisions and powers"
        if not self.heard[device]:
            return self._lone(device)
        near = listed(self.heard[device])
        return f"all devices are one cluster (clusters.kind=single), and {self.rule} links device {device} to {near}"

    def _lone(self, device: int) -> str:
        if not self.asked[device]:
            return f"device {device} is alone: {self.rule} links it to nobody"
        near = listed(self.asked[device])
        return f"device {device} is alone: {self.rule} links it to {near}, and range or power to none of these"


def linked(clusters: Clusters, settings: ClusterConfig, graph: GraphConfig, seed: int) -> Linked:
    """Return the links within ``clusters``.

    Args:
        clusters: formed according to ``settings``, with their radio limits.
        settings: ``clusters.*``.
        graph: ``graph.*``, of a single cluster; positions are those of the clusters.
        seed: of a random graph.
    """
    everybody = clusters.neighbours()
    if settings.kind == "agnes":
        return Linked(None, everybody, everybody)
    air, ids = clusters.air, clusters.air.ids.tolist()
    if graph.kind == "random":
        drawn = random_within(air, graph.neighbours, seed)
        return Linked("graph.kind=random", drawn, drawn)
    rule, asked = None, everybody
    if graph.kind != "full":
        ranks = neighbours(graph.kind, len(ids), positions=air.positions, radius=graph.radius)
        asked = {ids[rank]: tuple(ids[other] for other in near) for rank, near in ranks.items()}
        within = "" if graph.radius is None else f" (graph.radius={graph.radius:g})"
        rule = f"graph.kind={graph.kind}{within}"
    table = dict(zip(ids, air.links.table(len(ids)), strict=True))
    rank = {device: at for at, device in enumerate(ids)}
    heard = {device: tuple(d for d in near if rank[d] in table[device]) for device, near in asked.items()}
    return Linked(rule, asked, heard)
