"""Who exchanges with whom over the air, before anything is trained: places, mean gains, clusters and what links cost.

Fading belongs to the rounds; here every gain is its mean, and the payload is the one that is forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.network.geometry import Geometry
from meshtune.runs.events import PhaseStarted, Progress
from meshtune.runs.observer import Observer
from meshtune.topology import agnes
from meshtune.topology.backbone import Backbone, backbone
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import Clusters
from meshtune.topology.collision import Use
from meshtune.topology.linked import Linked, linked
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import Radio, outage_probability, rate
from meshtune.wireless.link_budget import link_gains, over_the_air
from meshtune.wireless.orthogonal_bands import LinkBudget
from meshtune.wireless.places import distances

MOST_LINKS = 200_000
"""Links, both directions, of a single cluster of all devices."""
MOST_TOGETHER = 500
"""Devices of a single cluster in which not all are linked: what they pass on is followed hop by hop."""
MOST_SHARING = 100
"""Such devices on one shared band."""


@dataclass(frozen=True, eq=False)
class Flow:
    """Some links, each direction by itself, and one exchange over them on mean gains.

    Attributes:
        sender: (L,) ids; ``receiver`` likewise.
        metres: (L,) lengths; ``gain``: (L,) mean gains, linear.
        outage: (L,) probability under Rayleigh fading that a link, had it the sender's whole power, does not carry the
            payload in its share of the band; NaN where gains are recorded.
        capacity: (L,) bit/s in the link's share of the band at an even share of p_max, without interference.
        budget: what each link takes.
    """

    sender: Ints
    receiver: Ints
    metres: Floats
    gain: Floats
    capacity: Floats
    outage: Floats
    budget: LinkBudget

    def pairs(self, served: bool = True) -> list[tuple[int, int]]:
        """Return sender and receiver of the links that are served, or of those that are not."""
        keep = self.budget.served == served
        return list(zip(self.sender[keep].tolist(), self.receiver[keep].tolist(), strict=True))

    def served(self, served: bool) -> dict[int, tuple[int, ...]]:
        """Return the receivers of every sender's links that are served, or of those that are not, ids ascending."""
        found: dict[int, list[int]] = {}
        for sender, receiver in self.pairs(served):
            found.setdefault(sender, []).append(receiver)
        return {device: tuple(sorted(others)) for device, others in found.items()}


@dataclass(frozen=True, eq=False)
class Mesh:
    """Devices, their clusters, and the exchanges within and between these.

    Attributes:
        radio: of every device.
        positions: (n, 2) metres.
        air: range, costs and bounds.
        clusters: who exchanges with whom.
        linked: neighbours within clusters.
        backbone: links between clusters.
        within: the links within clusters that are asked for, served or not; ``between``: those of the backbone, lower
            id to higher first.
    """

    radio: Radio
    positions: Floats
    air: LinkBounds
    clusters: Clusters
    linked: Linked
    backbone: Backbone
    within: Flow
    between: Flow

    @cached_property
    def alone(self) -> dict[int, str]:
        """The devices that can link to nobody, and why."""
        return self.linked.alone(self.air)


def mesh(config: RunConfig, where: Geometry, air: LinkBounds, bits: float, use: Use, observer: Observer) -> Mesh:
    """Form clusters, join them, and price one exchange within and one between them.

    Args:
        config: ``clusters.*``, ``graph.*`` and the seed.
        where: places and gains.
        air: bounds for this payload.
        bits: of the payload.
        use: the devices' masks, as far as known.
        observer: told what is under way.

    Raises:
        UserError: a single cluster has more links or devices than can be planned.
    """
    devices = len(where.positions)
    observer(PhaseStarted("forming clusters", devices))
    if config.clusters.kind == "single":
        _bounded(where.config, air, config.graph.kind)

    def told(merges: int) -> None:
        observer(Progress("forming clusters", merges, devices))

    clusters = agnes.clustered(config.clusters, air, use, told)
    found = linked(clusters, config.clusters, config.graph, config.seed)
    joined = backbone(clusters)
    observer(Progress("forming clusters", devices, devices))
    forth = [(link.low, link.high) for link in joined.links]
    within = flow(where, found.asked, bits)
    between = _flow(where, np.array([*forth, *((b, a) for a, b in forth)], dtype=np.int64).reshape(-1, 2), bits)
    return Mesh(where.radio, where.positions, air, clusters, found, joined, within, between)


def _bounded(radio: RadioConfig, air: LinkBounds, graph: str) -> None:
    """Refuse a single cluster of which all that devices pass on cannot be followed in seconds."""
    devices = air.ids.size
    if graph == "full" and devices * (devices - 1) > MOST_LINKS:
        raise UserError(
            f"clusters.kind=single of {devices} devices has {devices * (devices - 1):,} links, planned for at most "
            f"{MOST_LINKS:,}: set clusters.kind=agnes"
        )
    shared = radio.spectrum == "shared"
    most = MOST_SHARING if shared else MOST_TOGETHER
    passes = graph != "full" or 2 * int(air.links.affordable.sum()) < devices * (devices - 1)
    if devices > most and passes:
        band = " on one shared band" if shared else ""
        raise UserError(
            f"clusters.kind=single of {devices} devices with graph.kind={graph} passes updates on, and is planned for "
            f"at most {most}{band}: lower devices.count, or set clusters.kind=agnes and graph={{}}"
        )


def flow(where: Geometry, neighbours: Mapping[int, Sequence[int]], bits: float) -> Flow:
    """Return one exchange over the links of a graph."""
    pairs = [(device, other) for device, others in neighbours.items() for other in others]
    return _flow(where, np.array(pairs, dtype=np.int64).reshape(-1, 2), bits)


def _flow(where: Geometry, pairs: Ints, bits: float) -> Flow:
    sender, receiver = pairs.T
    config, positions = where.config, where.positions
    budget = over_the_air(config, where.channel, positions, sender, receiver, bits, None)
    gain = link_gains(where.channel, positions, sender, receiver, None)
    u = 1 if config.cast == "broadcast" else np.maximum(budget.u[sender], 1)
    outage = outage_probability(where.radio, bits, gain, u)
    capacity = rate(where.radio, where.radio.p_max / u, gain, u)
    if config.channel == "trace":
        outage = np.full(len(sender), np.nan)
    elif config.fading == "none":
        outage = (~budget.served).astype(np.float64)
    return Flow(sender, receiver, distances(positions, sender, receiver), gain, capacity, outage, budget)
