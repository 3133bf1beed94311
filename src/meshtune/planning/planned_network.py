"""The network of a plan: the one that a run would form, with progress reports, refused if it would take too long.

Relaying within a single cluster is simulated hop by hop, which takes longer the more devices and links there are.
Several clusters have no such bound.
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
"""Maximum number of links of a single cluster of all devices, counting both directions."""
MOST_FOLLOWED = 500
"""Maximum number of devices of a single cluster that is not fully linked: its relaying is simulated hop by hop."""
MOST_SHARING = 100
"""Likewise on one shared band."""


def planned_network(
    config: RunConfig, where: Geometry, bits: float, use: Use, settings: ClusterConfig, observer: Observer
) -> RadioNetwork:
    """Form the network of a plan.

    Args:
        config: ``graph.*`` and the seed.
        where: positions and gains.
        bits: size of the payload.
        use: the expected masks of the devices.
        settings: ``clusters.*``.
        observer: receives progress events.

    Raises:
        UserError: a single cluster has more links or devices than can be planned, or too many pairs of devices are in
            range.
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
    """Check that relaying within a single cluster can be simulated in seconds.

    Args:
        radio: tells whether devices share a band.
        bounds: the devices and their links.
        graph: ``graph.kind``.

    Raises:
        UserError: there are more devices than :data:`MOST_FOLLOWED` or :data:`MOST_SHARING`, or more links than
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
        f"clusters.kind=single of {devices} devices with graph.kind={graph} relays updates, and is planned for at "
        f"most {most}{band}: lower devices.count, or set clusters.kind=agnes and graph={{}}"
    )
