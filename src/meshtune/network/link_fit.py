"""Checks before the first round whether updates fit on their links: finds links that cannot carry one, and a remedy.

Clusters are formed for the update of one method (:func:`meshtune.network.geometry.carrier`). Another method's update
may be many times as large, and would then be in outage round after round. Gains are means, as in cluster formation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from meshtune.network.geometry import geometry_of
from meshtune.network.mean_links import flow
from meshtune.network.site import Site
from meshtune.topology.linked import Graph
from meshtune.wireless.config import RadioConfig

MOST = 1 << 12
"""Largest factor by which a remedy may widen the band."""
DECIBELS = 60
"""Largest increase of power that a remedy may propose, in dB."""


def crowded(site: Site, graph: Graph, updates: Mapping[str, int]) -> list[str]:
    """Return a sentence for every method whose updates do not fit on some link of ``graph``.

    Args:
        site: positions and radio, at the start.
        graph: the links that are wanted.
        updates: per method, the bytes of an update.
    """
    if not any(graph.values()):
        return []
    found = []
    for name, size in updates.items():
        missing, links = unserved(site, site.radio, graph, 8.0 * size)
        if missing:
            remedy = _remedy(site, graph, 8.0 * size)
            found.append(
                f"an update of {name} has {size:,} bytes and does not fit on {missing} of {links} links within "
                f"radio.gamma={site.radio.gamma:g} s, so it does not arrive there: {remedy}"
            )
    return found


def unserved(site: Site, radio: RadioConfig, graph: Graph, bits: float) -> tuple[int, int]:
    """Return how many links of ``graph`` cannot carry ``bits`` with ``radio``, and the number of links."""
    served = flow(geometry_of(replace(site, radio=radio)), graph, bits).budget.served
    return int((~served).sum()), len(served)


def _remedy(site: Site, graph: Graph, bits: float) -> str:
    """Return a setting with which every link carries ``bits``, or other advice."""
    radio, times = site.radio, 2
    while times <= MOST:
        wider = radio.model_copy(update={"bandwidth": radio.bandwidth * times})
        if not unserved(site, wider, graph, bits)[0]:
            return f"set radio.bandwidth={wider.bandwidth:g}, or lower adapter.density or adapter.rank"
        times *= 2
    for more in range(10, DECIBELS + 1, 10):
        louder = radio.model_copy(update={"power_dbm": radio.power_dbm + more})
        if not unserved(site, louder, graph, bits)[0]:
            return f"set radio.power_dbm={louder.power_dbm:g}, or lower adapter.density or adapter.rank"
    return "lower adapter.density or adapter.rank, or give devices more radio.gamma"
