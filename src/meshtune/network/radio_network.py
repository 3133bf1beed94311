"""The network of a run over the air: its clusters, the links between them, and what a user should know of both.

Clusters are formed when masks are known: on mean gains and for a forecast payload, the one of the run's first method
that exchanges sparse experts. All methods of a run have the same clusters and the same links between them, each with
its own payload, so that what fits under one method may be in outage under another. Where devices move there is a
network for every time (:mod:`meshtune.simulator.reclustering`): a function of configuration, announcements and time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.network.geometry import carrier, clustering, geometry_of, link_bounds
from meshtune.network.mean_links import flow
from meshtune.network.site import Site
from meshtune.node.mask_negotiation import IDLE, Agreement, agree, negotiates
from meshtune.topology import agnes
from meshtune.topology.backbone import Backbone, backbone
from meshtune.topology.clusters import Clusters
from meshtune.topology.collision import expected, measured, of_masks
from meshtune.topology.graphs import components, falls_apart, neighbours
from meshtune.topology.linked import Graph, Linked, linked
from meshtune.topology.phrases import figure, listed
from meshtune.topology.why import Why, explain
from meshtune.wire.payload_sizes import update_bytes
from meshtune.wireless.link_budget import over_the_air


@dataclass(frozen=True)
class Network:
    """Who exchanges with whom over the air.

    Attributes:
        site: where.
        time: at which it is formed, seconds on the clock of a method.
        clusters: who is in which cluster.
        backbone: the links between clusters.
        measured: per cluster the share of positions that two or more of its members' masks really use.
        bits: of the payload that clusters were formed for.
        linked: neighbours within clusters.
        graph: those that can be linked, and the neighbours between clusters.
        at: the network of the same devices at another time; those formed last are kept.
        agreement: on the masks of methods that negotiate them; None where none does.
    """

    site: Site
    time: float
    clusters: Clusters
    backbone: Backbone
    measured: tuple[float, ...]
    bits: float
    linked: Linked
    graph: Graph
    at: Callable[[float], Network] = field(repr=False, compare=False)
    agreement: Agreement | None = None

    @property
    def inner(self) -> Graph:
        """Neighbours within clusters, as far as a link alone fits into both ends' power."""
        return self.linked.heard

    @property
    def wished(self) -> Graph:
        """Neighbours within clusters, whatever a link costs; of devices that can afford none, the nearest device."""
        found = {device: set(near) for device, near in self.linked.asked.items()}
        for device in self.linked.alone(self.clusters.air):
            positions = self.site.mobility.positions(self.time)
            metres = np.linalg.norm(positions - positions[device], axis=1)
            metres[device] = np.inf
            nearest = int(metres.argmin())
            if np.isfinite(metres[nearest]) and metres[nearest] <= self.clusters.air.reach:
                found[device].add(nearest)
                found[nearest].add(device)
        return {device: tuple(sorted(near)) for device, near in found.items()}

    def without(self, absent: Collection[int]) -> Graph:
        """Return who hears whom while some devices are away: other links stand in for those that were theirs."""
        if not absent:
            return self.graph
        further = backbone(self.clusters, absent).neighbours()
        return {
            device: tuple(sorted({d for d in near if d not in absent} | set(further[device])))
            for device, near in self.inner.items()
            if device not in absent
        }

    @cached_property
    def slots(self) -> int:
        """Turns that an exchange within clusters takes: 1 unless devices share a band."""
        ends = [(sender, receiver) for sender, near in self.inner.items() for receiver in near]
        if self.site.radio.spectrum == "orthogonal" or not ends:
            return 1
        sender, receiver = np.array(ends, dtype=np.int64).T
        positions = self.site.mobility.positions(self.time)
        planned = over_the_air(self.site.radio, self.site.channel, positions, sender, receiver, self.bits, None)
        return int(planned.slot.max()) + 1

    @cached_property
    def why(self) -> dict[int, Why]:
        """Why each device is where it is."""
        devices = sorted(self.graph)
        if self.linked.rule is not None:
            return {device: Why(device, self.linked.why(device), ()) for device in devices}
        return {device: explain(self.clusters, device) for device in devices}

    def outline(self) -> dict[str, Any]:
        """Return what is kept of every network: clusters, their collision rates, links between them, and places."""
        return {
            "clusters": [list(cluster) for cluster in self.clusters.clusters],
            "collision_expected": list(self.clusters.rates),
            "collision_measured": list(self.measured),
            "links": [[link.low, link.high] for link in self.backbone.links],
            "components": [list(part) for part in components(self.graph)],
            "positions": self.site.mobility.positions(self.time).tolist(),
        }

    def facts(self) -> dict[str, Any]:
        """Return what the run's folder keeps of the first one: its outline, what it was formed for, and why."""
        return {
            **self.outline(),
            "s_max": self.clusters.s_max,
            "payload_bytes": round(self.bits / 8),
            "within": self._within(),
            "refused": self._refused(),
            **({} if self.agreement is None else {"negotiated": self.agreement.facts()}),
            "why": {str(device): str(why) for device, why in self.why.items()},
        }

    def _within(self) -> list[tuple[int, int, float]]:
        """Return the pairs that reach each other within clusters, and bit/s at p_max on the way that carries less."""
        links = flow(geometry_of(self.site, self.time), self.inner, self.bits)
        carried: dict[tuple[int, int], list[float]] = {}
        ways = zip(links.sender.tolist(), links.receiver.tolist(), links.capacity.tolist(), strict=True)
        for (a, b, capacity), served in zip(ways, links.budget.served.tolist(), strict=True):
            if served:
                carried.setdefault((min(a, b), max(a, b)), []).append(capacity)
        return [(a, b, min(both)) for (a, b), both in sorted(carried.items()) if len(both) == 2]

    def _refused(self) -> list[tuple[int, int, str]]:
        """Return every device, the nearest one elsewhere, and the bound that keeps these two apart."""
        return [(device, one.device, one.kind) for device, why in self.why.items() for one in why.refused[:1]]

    def notes(self) -> list[str]:
        """Return what a user should know of it, one sentence each."""
        members, most = self.clusters.clusters, self.clusters.s_max
        found = [
            f"{len(members)} {'cluster' if len(members) == 1 else 'clusters'} over the air, of {sized(members)}; "
            f"{len(self.backbone.links)} links between them"
        ]
        apart = falls_apart(self.graph)
        found += [apart] if apart is not None else []
        if self.linked.missing and self.linked.rule is not None:
            found.append(
                f"{self.linked.missing} of the {self.linked.pairs} pairs that {self.linked.rule} links are out of "
                "reach, for range or power"
            )
        cut_off = self.linked.alone(self.clusters.air)
        for part in components(self.graph):
            if len(part) == 1:
                why = cut_off.get(part[0]) or self.why[part[0]].reason
                found.append(f"{why}; it trains by itself")
        rounds, inner = self.site.config.train.rounds, self.site.config.clusters.inner_rounds
        if self.backbone.links and rounds % inner:
            found.append(
                f"clusters exchange every {inner} rounds, and what the last {rounds % inner} of {rounds} teach stays "
                "within them: make train.rounds a multiple of clusters.inner_rounds to end with an exchange"
            )
        elif self.linked.rule is not None and rounds % inner and self.site.config.graph.relay:
            found.append(
                f"what devices do not hear directly is passed on every {inner} rounds, and what the last "
                f"{rounds % inner} of {rounds} teach stays with neighbours: make train.rounds a multiple of "
                "clusters.inner_rounds to end with an exchange"
            )
        if self.agreement is not None:
            found.append(
                f"masks were negotiated: those of different groups of a cluster collide nowhere, and a layer's density "
                f"changed by {figure(max(self.agreement.change))} at most"
            )
        elif self.site.config.clusters.masks == "negotiated":
            found.append(IDLE)
        whose = "own masks" if self.agreement is not None else "masks"
        found += [
            f"the {whose} of cluster {listed(cluster)} collide in {figure(real)} of all positions, above the {most:g} "
            f"allowed: expected were {figure(rate)}"
            for cluster, real, rate in zip(members, self.measured, self.clusters.rates, strict=True)
            if real > most
        ]
        return found


def sized(clusters: Sequence[Sequence[int]]) -> str:
    """Return how large ``clusters`` are, in words."""
    least, largest = min(map(len, clusters)), max(map(len, clusters))
    devices = f"{largest} {'device' if largest == 1 else 'devices'}"
    return devices if least == largest else f"{least} to {devices}"


def connect(
    config: RunConfig,
    site: Site | None,
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    factory: ExpertFactory,
) -> tuple[Graph, Network | None]:
    """Return who hears whom in a run, and the network over the air where it has a radio; ``site`` is the run's."""
    if site is None:
        return neighbours(config.graph.kind, len(own), config.graph.neighbours, config.seed), None
    network = form(site, [get_method(name) for name in config.methods], own, layers, factory)
    return network.graph, network


def form(
    site: Site,
    methods: Sequence[Method],
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    factory: ExpertFactory,
) -> Network:
    """Form clusters of the devices that announced ``own``, and the links between clusters, at time 0.

    Where no method of the run has masks there is nothing that collides, and power and range alone decide.
    """
    settings = site.config.clusters
    method = carrier(methods)
    said = [method.announces(announced, factory) for announced in own]
    count = max(method.begin(a, {a.device: a}, factory).count for a in said)
    bits = 8.0 * update_bytes(count, site.config.exchange.values, site.config.exchange.block)
    counts = sizes(layers, factory.adapter.rank)
    masks = [
        list((announced.masks or a.masks) if method.masks.selects else ())
        for announced, a in zip(own, said, strict=True)
    ]
    masked = all(masks)
    use = of_masks(masks, counts, factory.adapter.rank, settings.rate) if masked else expected([[1.0]] * len(own), [1])
    settings = clustering(settings, masked)

    @lru_cache(maxsize=2 * len(methods) + 1)  # each method has a clock of its own: of each the last two
    def at(time: float) -> Network:
        air = link_bounds(geometry_of(site, time), bits, settings.most)
        clusters = agnes.clustered(settings, air, use)
        found = linked(clusters, site.config.clusters, site.config.graph, site.config.seed)
        between = backbone(clusters)
        graph = {d: tuple(sorted({*found.heard[d], *further})) for d, further in between.neighbours().items()}
        real = tuple(
            measured([masks[device] for device in cluster], counts) if masked else float(len(cluster) > 1)
            for cluster in clusters.clusters
        )
        return Network(site, time, clusters, between, real, bits, found, graph, at)

    first = at(0.0)
    return replace(first, agreement=agree(own, first.inner, counts)) if negotiates(site.config, methods) else first
