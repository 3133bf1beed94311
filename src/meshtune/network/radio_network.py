"""The network over the air: clusters of devices, neighbours within them and links between them, at one moment.

Runs and plans form it by the same function, :meth:`RadioNetwork.form`, on mean gains (fading belongs to the rounds) and
for the payload of one method, that of :func:`meshtune.network.geometry.carrier`. A run knows when it was formed and
what masks really collide, and forms it again as devices move (:mod:`meshtune.network.run_network`). A plan takes the
densities that it expects for masks, refuses what it could not follow in seconds, and reports progress
(:mod:`meshtune.planning.planned_network`). The budgets of links are computed when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meshtune.network.geometry import Geometry, link_bounds
from meshtune.network.mean_links import Flow, flow, pair_flow
from meshtune.topology import agnes
from meshtune.topology.backbone import Backbone, backbone
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import Clusters
from meshtune.topology.collision import Use
from meshtune.topology.config import ClusterConfig, GraphConfig
from meshtune.topology.linked import Graph, Linked, linked
from meshtune.topology.why import Why, explain


@dataclass(frozen=True, eq=False)
class RadioNetwork:
    """Who exchanges with whom over the air.

    Attributes:
        where: places and gains.
        bits: of the payload that it was formed for.
        settings: ``clusters.*`` that it was formed by.
        clusters: who is in which cluster.
        linked: neighbours within clusters.
        backbone: the links between clusters.
    """

    where: Geometry
    bits: float
    settings: ClusterConfig
    clusters: Clusters
    linked: Linked
    backbone: Backbone

    @classmethod
    def form(
        cls,
        where: Geometry,
        bits: float,
        use: Use,
        settings: ClusterConfig,
        graph: GraphConfig,
        seed: int,
        progress: Callable[[int], None] | None = None,
    ) -> RadioNetwork:
        """Form clusters, link their members, and join the clusters.

        Args:
            where: places and gains.
            bits: of the payload.
            use: the devices' masks, as far as known.
            settings: ``clusters.*``.
            graph: ``graph.*``, of a single cluster.
            seed: of a random graph.
            progress: called now and then with the number of merges so far, below the number of devices.

        Raises:
            UserError: more pairs of devices are in range than can be held, or two stand at one point.
        """
        clusters = agnes.clustered(settings, link_bounds(where, bits, settings.most), use, progress)
        return cls(where, bits, settings, clusters, linked(clusters, settings, graph, seed), backbone(clusters))

    @property
    def bounds(self) -> LinkBounds:
        """Range, costs of links, and limits of devices."""
        return self.clusters.air

    @property
    def inner(self) -> Graph:
        """Neighbours within clusters, as far as a link alone fits into both ends' power."""
        return self.linked.heard

    @cached_property
    def graph(self) -> Graph:
        """Neighbours within clusters and between them."""
        return self.without(())

    def without(self, absent: Collection[int]) -> Graph:
        """Return who hears whom while some devices are away: other links stand in for those that were theirs."""
        between = backbone(self.clusters, absent) if absent else self.backbone
        further = between.neighbours()
        return {
            device: tuple(sorted({d for d in near if d not in absent} | set(further[device])))
            for device, near in self.inner.items()
            if device not in absent
        }

    @property
    def wanted(self) -> Graph:
        """Neighbours within clusters, whatever a link costs; of devices that can afford none, the nearest device."""
        found, positions = {device: set(near) for device, near in self.linked.asked.items()}, self.where.positions
        for device in self.alone:
            metres = np.linalg.norm(positions - positions[device], axis=1)
            metres[device] = np.inf
            nearest = int(metres.argmin())
            if np.isfinite(metres[nearest]) and metres[nearest] <= self.bounds.reach:
                found[device].add(nearest)
                found[nearest].add(device)
        return {device: tuple(sorted(near)) for device, near in found.items()}

    @cached_property
    def within(self) -> Flow:
        """One exchange over all links within clusters that are asked for, served or not."""
        return flow(self.where, self.linked.asked, self.bits)

    @cached_property
    def between(self) -> Flow:
        """One exchange over the links between clusters: lower id to higher first, then all the other way."""
        ends = [(link.low, link.high) for link in self.backbone.links]
        return pair_flow(self.where, [*ends, *((high, low) for low, high in ends)], self.bits)

    @cached_property
    def slots(self) -> int:
        """Turns that an exchange within clusters takes: 1 unless devices share a band."""
        return int(self.within.budget.slot.max(initial=0)) + 1

    @cached_property
    def alone(self) -> dict[int, str]:
        """The devices that have no neighbour for want of any, or by ``graph.kind``, ids ascending, and why."""
        return self.linked.alone(self.bounds)

    def why(self, device: int, most: int = 8) -> Why:
        """Return why ``device`` has the neighbours that it has, and why its ``most`` nearest elsewhere were refused.

        No bound decides who is in a single cluster, and nobody is elsewhere.

        Raises:
            UserError: there is no such device.
        """
        if self.settings.kind == "single" and len(self.clusters.index) > 1:
            return Why(device, self.linked.why(device), ())
        return explain(self.clusters, device, most)
