"""The radio network at one moment: clusters of devices, neighbours within them and links between them.

Runs and plans form it by the same function, :meth:`RadioNetwork.form`, on mean gains (fading is drawn per round) and
for the payload of one method, that of :func:`meshtune.network.geometry.carrier`. A run records when its network was
formed and how much its masks really collide, and forms it again as devices move (:mod:`meshtune.network.run_network`).
A plan uses expected mask densities, refuses networks that it cannot simulate in seconds, and reports progress
(:mod:`meshtune.planning.planned_network`). Link budgets are computed on demand.
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
        where: positions and gains.
        bits: size of the payload that it was formed for.
        settings: the ``clusters.*`` settings used.
        clusters: the assignment of devices to clusters.
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
            where: positions and gains.
            bits: size of the payload.
            use: the devices' masks, as far as known.
            settings: ``clusters.*``.
            graph: ``graph.*``, of a single cluster.
            seed: seed of a random graph.
            progress: called periodically with the number of merges so far, below the number of devices.

        Raises:
            UserError: too many pairs of devices are in range, or two devices have the same position.
        """
        clusters = agnes.clustered(settings, link_bounds(where, bits, settings.most), use, progress)
        return cls(where, bits, settings, clusters, linked(clusters, settings, graph, seed), backbone(clusters))

    @property
    def bounds(self) -> LinkBounds:
        """Range, costs of links, and limits of devices."""
        return self.clusters.air

    @property
    def inner(self) -> Graph:
        """Neighbours within clusters whose link, taken alone, fits into the power of both ends."""
        return self.linked.heard

    @cached_property
    def graph(self) -> Graph:
        """Neighbours within clusters and between them."""
        return self.without(())

    def without(self, absent: Collection[int]) -> Graph:
        """Return who hears whom while the devices ``absent`` are away: other links replace theirs."""
        between = backbone(self.clusters, absent) if absent else self.backbone
        further = between.neighbours()
        return {
            device: tuple(sorted({d for d in near if d not in absent} | set(further[device])))
            for device, near in self.inner.items()
            if device not in absent
        }

    @property
    def wanted(self) -> Graph:
        """Neighbours within clusters regardless of link cost; a device that can afford no link has the nearest one."""
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
        """One exchange over all links wanted within clusters, served or not."""
        return flow(self.where, self.linked.asked, self.bits)

    @cached_property
    def between(self) -> Flow:
        """One exchange over the links between clusters: first all from lower to higher id, then all back."""
        ends = [(link.low, link.high) for link in self.backbone.links]
        return pair_flow(self.where, [*ends, *((high, low) for low, high in ends)], self.bits)

    @cached_property
    def slots(self) -> int:
        """Turns that an exchange within clusters takes: 1 unless devices share a band."""
        return int(self.within.budget.slot.max(initial=0)) + 1

    @cached_property
    def alone(self) -> dict[int, str]:
        """The devices that have no neighbour, whether for want of one or by ``graph.kind``, ids ascending, and why."""
        return self.linked.alone(self.bounds)

    def why(self, device: int, most: int = 8) -> Why:
        """Return why ``device`` has its neighbours, and why its ``most`` nearest devices elsewhere were refused.

        In a single cluster no bound decides on membership, and no device is elsewhere.

        Raises:
            UserError: there is no such device.
        """
        if self.settings.kind == "single" and len(self.clusters.index) > 1:
            return Why(device, self.linked.why(device), ())
        return explain(self.clusters, device, most)
