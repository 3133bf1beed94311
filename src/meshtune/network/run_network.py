"""The network of a run: formed when masks are known, again as devices move, and what the run's folder keeps of it.

All methods of a run have the same clusters and the same links between them, each with its own payload, so that what
fits under one method may be in outage under another. Where devices move there is a network for every time
(:mod:`meshtune.simulator.reclustering`): a function of configuration, announcements and time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Announcement
from meshtune.network.geometry import carrier, clustering, geometry_of
from meshtune.network.radio_network import RadioNetwork
from meshtune.network.site import Site
from meshtune.node.negotiation.mask_agreement import Agreement
from meshtune.topology.collision import expected, measured, of_masks
from meshtune.topology.graphs import components
from meshtune.topology.why import Why
from meshtune.wire.payload_sizes import update_bytes


@dataclass(frozen=True, eq=False)
class RunNetwork:
    """A network that a run formed, and what only the run knows of it.

    Attributes:
        site: where.
        time: at which it was formed, seconds on the clock of a method.
        formed: clusters and links.
        measured: per cluster the share of positions that two or more of its members' masks really use.
        at: the network of the same devices at another time; those formed last are kept.
        agreement: on the masks of methods that negotiate them; None where none does.
    """

    site: Site
    time: float
    formed: RadioNetwork
    measured: tuple[float, ...]
    at: Callable[[float], RunNetwork] = field(repr=False)
    agreement: Agreement | None = None

    @cached_property
    def why(self) -> dict[int, Why]:
        """Why each device is where it is."""
        return {device: self.formed.why(device) for device in sorted(self.formed.graph)}

    def outline(self) -> dict[str, Any]:
        """Return what is kept of every network: clusters, their collision rates, links between them, and places."""
        formed = self.formed
        return {
            "clusters": [list(cluster) for cluster in formed.clusters.clusters],
            "collision_expected": list(formed.clusters.rates),
            "collision_measured": list(self.measured),
            "links": [[link.low, link.high] for link in formed.backbone.links],
            "components": [list(part) for part in components(formed.graph)],
            "positions": formed.where.positions.tolist(),
        }

    def facts(self) -> dict[str, Any]:
        """Return what the run's folder keeps of the first one: its outline, what it was formed for, and why."""
        return {
            **self.outline(),
            "s_max": self.formed.clusters.s_max,
            "payload_bytes": round(self.formed.bits / 8),
            "within": self._within(),
            "refused": self._refused(),
            **({} if self.agreement is None else {"negotiated": self.agreement.facts()}),
            "why": {str(device): str(why) for device, why in self.why.items()},
        }

    def _within(self) -> list[tuple[int, int, float]]:
        """Return the pairs that reach each other within clusters, and bit/s at p_max on the way that carries less."""
        links = self.formed.within
        carried: dict[tuple[int, int], list[float]] = {}
        ways = zip(links.sender.tolist(), links.receiver.tolist(), links.capacity.tolist(), strict=True)
        for (a, b, capacity), served in zip(ways, links.budget.served.tolist(), strict=True):
            if served:
                carried.setdefault((min(a, b), max(a, b)), []).append(capacity)
        return [(a, b, min(both)) for (a, b), both in sorted(carried.items()) if len(both) == 2]

    def _refused(self) -> list[tuple[int, int, str]]:
        """Return every device, the nearest one elsewhere, and the bound that keeps these two apart."""
        return [(device, one.device, one.kind) for device, why in self.why.items() for one in why.refused[:1]]


def run_network(
    site: Site,
    methods: Sequence[Method],
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    factory: ExpertFactory,
) -> RunNetwork:
    """Form the network of the devices that announced ``own``, at time 0.

    Where no method of the run has masks there is nothing that collides, and power and range alone decide.
    """
    config, method = site.config, carrier(methods)
    said = [method.announces(announced, factory) for announced in own]
    count = max(method.begin(a, {a.device: a}, factory).count for a in said)
    bits = 8.0 * update_bytes(count, config.exchange.values, config.exchange.block)
    rank = factory.adapter.rank
    counts = sizes(layers, rank)
    masks = [
        list((announced.masks or a.masks) if method.masks.selects else ())
        for announced, a in zip(own, said, strict=True)
    ]
    masked = all(masks)
    use = of_masks(masks, counts, rank, config.clusters.rate) if masked else expected([[1.0]] * len(own), [1])
    settings = clustering(config.clusters, masked)

    @lru_cache(maxsize=2 * len(methods) + 1)  # each method has a clock of its own: of each the last two
    def at(time: float) -> RunNetwork:
        formed = RadioNetwork.form(geometry_of(site, time), bits, use, settings, config.graph, config.seed)
        real = tuple(
            measured([masks[device] for device in cluster], counts) if masked else float(len(cluster) > 1)
            for cluster in formed.clusters.clusters
        )
        return RunNetwork(site, time, formed, real, at)

    return at(0.0)
