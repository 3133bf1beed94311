"""The network of a run: formed once masks are known, formed again as devices move, and recorded in the run's folder.

All methods of a run have the same clusters and links, each with its own payload, so a payload that fits under one
method may be in outage under another. With moving devices there is a network for every time
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


@dataclass(frozen=True, eq=False)
class RunNetwork:
    """A network formed in a run, and what only the run knows about it.

    Attributes:
        site: channel, radio and positions.
        time: the time at which it was formed, in seconds on a method's clock.
        formed: clusters and links.
        measured: per cluster, the share of positions that two or more of its members' masks really use.
        at: returns the network of the same devices at another time; recent ones are cached.
        agreement: the negotiated masks; None if no method negotiates.
    """

    site: Site
    time: float
    formed: RadioNetwork
    measured: tuple[float, ...]
    at: Callable[[float], RunNetwork] = field(repr=False)
    agreement: Agreement | None = None

    @cached_property
    def why(self) -> dict[int, Why]:
        """Why each device is in its cluster."""
        return {device: self.formed.why(device) for device in sorted(self.formed.graph)}

    def outline(self) -> dict[str, Any]:
        """Return the record of any network: clusters, their collision rates, links between them, and positions."""
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
        """Return the record of the first network: its outline, what it was formed for, and why."""
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
        """Return the pairs that reach each other within clusters, with the lower bit/s of both directions at p_max."""
        links = self.formed.within
        carried: dict[tuple[int, int], list[float]] = {}
        ways = zip(links.sender.tolist(), links.receiver.tolist(), links.capacity.tolist(), strict=True)
        for (a, b, capacity), served in zip(ways, links.budget.served.tolist(), strict=True):
            if served:
                carried.setdefault((min(a, b), max(a, b)), []).append(capacity)
        return [(a, b, min(both)) for (a, b), both in sorted(carried.items()) if len(both) == 2]

    def _refused(self) -> list[tuple[int, int, str]]:
        """Return (device, nearest device elsewhere, bound that keeps them apart) for every device."""
        return [(device, one.device, one.kind) for device, why in self.why.items() for one in why.refused[:1]]


def run_network(
    site: Site,
    methods: Sequence[Method],
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    factory: ExpertFactory,
) -> RunNetwork:
    """Form the network of the devices that announced ``own``, at time 0.

    If no method of the run has masks, nothing collides, and only power and range decide.
    """
    config, method = site.config, carrier(methods)
    said = [method.announces(announced, factory) for announced in own]
    count = max(method.begin(a, {a.device: a}, factory).most for a in said)
    form, block = config.exchange.values, config.exchange.block
    bits = 8.0 * method.kind.update_bytes(count, layers, factory.adapter, form, block)
    policy, rank = method.masks, factory.adapter.rank
    found = [announced.masks if policy.selects else () for announced in own]
    if policy.selects and not all(found):  # nobody trains calibrated masks: those of the method decide
        found, rank = [a.masks for a in said], policy.columns(factory.adapter)
    counts, masks, masked = sizes(layers, rank), [list(one) for one in found], all(found)
    use = of_masks(masks, counts, rank, config.clusters.rate) if masked else expected([[1.0]] * len(own), [1])
    settings = clustering(config.clusters, masked)

    @lru_cache(maxsize=2 * len(methods) + 1)  # each method has its own clock: keep the last two networks of each
    def at(time: float) -> RunNetwork:
        formed = RadioNetwork.form(geometry_of(site, time), bits, use, settings, config.graph, config.seed)
        real = tuple(
            measured([masks[device] for device in cluster], counts) if masked else float(len(cluster) > 1)
            for cluster in formed.clusters.clusters
        )
        return RunNetwork(site, time, formed, real, at)

    return at(0.0)
