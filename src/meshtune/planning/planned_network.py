"""The network of a plan: the one that a run forms, refused where it cannot be followed in seconds, with progress told.

Whatever devices of a single cluster pass on to each other is followed hop by hop, which takes the longer the more
devices and links there are. Clusters have no such bound.
"""

from __future__ import annotations

from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.network.geometry import Geometry, link_bounds
from meshtune.network.radio_network import RadioNetwork
from meshtune.runs.events import PhaseStarted, Progress
from meshtune.runs.observer import Observer
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import Use
from meshtune.topology.config import ClusterConfig
from meshtune.wireless.config import RadioConfig

MOST_LINKS = 200_000
"""Links, both directions, of a single cluster of all devices."""
MOST_FOLLOWED = 500
"""Devices of a single cluster in which not all are linked: what they pass on is followed hop by hop."""
MOST_SHARING = 100
"""Such devices on one shared band."""


def planned_network(
    config: RunConfig, where: Geometry, bits: float, use: Use, settings: ClusterConfig, observer: Observer
) -> RadioNetwork:
    """Form the network of a plan.

    Args:
        config: ``graph.*`` and the seed.
        where: places and gains.
        bits: of the payload.
        use: what is expected of the devices' masks.
        settings: ``clusters.*``.
        observer: told what is under way.

    Raises:
        UserError: a single cluster has more links or devices than can be planned, or more pairs of devices are in range
            than can be held.
    """
    phase, devices = "forming clusters", len(where.positions)
    if settings.kind == "single":
        check_followed(where.config, link_bounds(where, bits, settings.most), config.graph.kind)
    observer(PhaseStarted(phase, devices))
    network = RadioNetwork.form(
        where, bits, use, settings, config.graph, config.seed,
        progress=lambda merges: observer(Progress(phase, merges, devices)),
    )  # fmt: skip
    observer(Progress(phase, devices, devices))
    return network


def check_followed(radio: RadioConfig, bounds: LinkBounds, graph: str) -> None:
    """Make sure that all that devices of a single cluster pass on can be followed in seconds.

    Args:
        radio: whether they share a band.
        bounds: the devices and their links.
        graph: ``graph.kind``.

    Raises:
        UserError: they are more than :data:`MOST_FOLLOWED` or :data:`MOST_SHARING`, or have more links than
            :data:`MOST_LINKS`.
    """
    devices = bounds.ids.size
    if graph == "full" and devices * (devices - 1) > MOST_LINKS:
        raise UserError(
            f"clusters.kind=single of {devices} devices has {devices * (devices - 1):,} links, planned for at most "
            f"{MOST_LINKS:,}: set clusters.kind=agnes"
        )
    shared = radio.spectrum == "shared"
    most = MOST_SHARING if shared else MOST_FOLLOWED
    if devices <= most or (graph == "full" and 2 * int(bounds.links.affordable.sum()) == devices * (devices - 1)):
        return
    band = " on one shared band" if shared else ""
    raise UserError(
        f"clusters.kind=single of {devices} devices with graph.kind={graph} passes updates on, and is planned for "
        f"at most {most}{band}: lower devices.count, or set clusters.kind=agnes and graph={{}}"
    )
