"""Who exchanges with whom over the air, before anything is trained: places, mean gains, clusters and what links cost.

Fading belongs to the rounds; here every gain is its mean, and the payload is the one that is forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meshtune.engine.config import RunConfig
from meshtune.engine.ground import Ground
from meshtune.engine.observer import Observer
from meshtune.errors import UserError
from meshtune.topology import agnes
from meshtune.topology.alone import alone
from meshtune.topology.backbone import Backbone, backbone
from meshtune.topology.bounds import Air
from meshtune.topology.clusters import Clusters
from meshtune.topology.collision import Use
from meshtune.wireless.air import link_gains, over_the_air
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.budget import LinkBudget
from meshtune.wireless.link import Radio, outage_probability, rate
from meshtune.wireless.places import distances

MOST_LINKS = 200_000
"""Links, both directions, of a single cluster of all devices."""


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


@dataclass(frozen=True, eq=False)
class Mesh:
    """Devices, their clusters, and the exchanges within and between these.

    Attributes:
        radio: of every device.
        positions: (n, 2) metres.
        air: range, costs and bounds.
        clusters: who exchanges with whom.
        backbone: links between clusters.
        within: the links within clusters; ``between``: those of the backbone, lower id to higher first.
    """

    radio: Radio
    positions: Floats
    air: Air
    clusters: Clusters
    backbone: Backbone
    within: Flow
    between: Flow

    @cached_property
    def alone(self) -> dict[int, str]:
        """The devices that can link to nobody, and why."""
        return alone(self.air)


def mesh(config: RunConfig, where: Ground, air: Air, bits: float, use: Use, observer: Observer) -> Mesh:
    """Form clusters, join them, and price one exchange within and one between them.

    Args:
        config: ``clusters.*``.
        where: places and gains.
        air: bounds for this payload.
        bits: of the payload.
        use: the devices' masks, as far as known.
        observer: told what is under way.

    Raises:
        UserError: a single cluster has more links than can be held.
    """
    devices = len(where.positions)
    observer.event("phase", name="forming clusters", total=devices)
    if config.clusters.kind == "single" and devices * (devices - 1) > MOST_LINKS:
        raise UserError(
            f"clusters.kind=single of {devices} devices has {devices * (devices - 1):,} links, planned for at most "
            f"{MOST_LINKS:,}: set clusters.kind=agnes"
        )

    def told(merges: int) -> None:
        observer.event("advance", name="forming clusters", done=merges)

    clusters = agnes.clustered(config.clusters, air, use, told)
    joined = backbone(clusters)
    observer.event("advance", name="forming clusters", done=devices)
    forth = [(link.low, link.high) for link in joined.links]
    within = flow(where, clusters.neighbours(), bits)
    between = _flow(where, np.array([*forth, *((b, a) for a, b in forth)], dtype=np.int64).reshape(-1, 2), bits)
    return Mesh(where.radio, where.positions, air, clusters, joined, within, between)


def flow(where: Ground, neighbours: Mapping[int, Sequence[int]], bits: float) -> Flow:
    """Return one exchange over the links of a graph."""
    pairs = [(device, other) for device, others in neighbours.items() for other in others]
    return _flow(where, np.array(pairs, dtype=np.int64).reshape(-1, 2), bits)


def _flow(where: Ground, pairs: Ints, bits: float) -> Flow:
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
