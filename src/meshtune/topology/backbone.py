"""Links between clusters: the cheapest ones that connect them, and multi-hop routes over them.

This is Kruskal's forest over clusters. Pairs of devices in different clusters are considered cheapest first. A pair is
kept if it connects two separate parts and both ends can still power all their links between clusters at the new split
of the band. If no limit binds, the result is the minimum spanning forest; otherwise the next pair of devices is used
instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from meshtune.errors import UserError
from meshtune.topology.clusters import Clusters


@dataclass(frozen=True)
class Link:
    """A link between two clusters.

    Attributes:
        low: id of the lower-numbered end; high: of the other.
        energy: joules that both ends spend on one exchange over it if they have no other link.
    """

    low: int
    high: int
    energy: float


@dataclass(frozen=True)
class Backbone:
    """How clusters are connected.

    Attributes:
        links: cheapest first.
        parts: numbers of the clusters that can reach each other, ascending; more than one part if the clusters cannot
            all be connected.
        power: watts that each device with such links needs for all of them together.
        clusters: the clusters that are connected.
    """

    links: tuple[Link, ...]
    parts: tuple[tuple[int, ...], ...]
    power: dict[int, float]
    clusters: Clusters = field(repr=False)

    def neighbours(self) -> dict[int, tuple[int, ...]]:
        """Return each device's neighbours in other clusters, ids ascending."""
        found: dict[int, list[int]] = {device: [] for device in self.clusters.air.ids.tolist()}
        for link in self.links:
            found[link.low].append(link.high)
            found[link.high].append(link.low)
        return {device: tuple(sorted(others)) for device, others in found.items()}

    @cached_property
    def _graph(self) -> Any:
        import networkx as nx  # takes a fifth of a second: do not delay help and errors

        return nx.Graph([(self._number(link.low), self._number(link.high), {"link": link}) for link in self.links])

    def route(self, source: int, target: int) -> tuple[int, ...] | None:
        """Return the ids on the path from ``source`` to ``target``, both included; None if there is none.

        Between clusters the path is unique because the links form a forest; within one, all members hear each other.

        Raises:
            UserError: there is no such device.
        """
        import networkx as nx

        first, last = self._number(source), self._number(target)
        if first == last:
            return (source,) if source == target else (source, target)
        if first not in self._graph or last not in self._graph or not nx.has_path(self._graph, first, last):
            return None
        hops = [source]
        path = nx.shortest_path(self._graph, first, last)
        for a, b in pairwise(path):
            link = self._graph.edges[a, b]["link"]
            ends = (link.low, link.high) if self._number(link.low) == a else (link.high, link.low)
            hops += [end for end in ends if end != hops[-1]]
        return (*hops, target) if hops[-1] != target else tuple(hops)

    def _number(self, device: int) -> int:
        if device not in self.clusters.index:
            raise UserError(f"there is no device {device} among the {len(self.clusters.index)}: name one of them")
        return self.clusters.index[device]


def backbone(clusters: Clusters, absent: Collection[int] = ()) -> Backbone:
    """Return the cheapest links that connect ``clusters`` within range and power; none to the ids in ``absent``."""
    import numpy as np

    air, ids = clusters.air, clusters.air.ids.tolist()
    cluster = np.array([clusters.index[device] for device in ids])
    links = air.links
    here = ~np.isin(ids, list(absent))
    keep = links.affordable & (cluster[links.low] != cluster[links.high]) & here[links.low] & here[links.high]
    low, high, ticks = (array[keep] for array in (links.low, links.high, links.ticks))
    order = np.lexsort((high, low, ticks))
    root = list(range(len(clusters.clusters)))
    degree, spent = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    found = []
    for a, b, cost in zip(*(array[order].tolist() for array in (low, high, ticks)), strict=True):
        one, other = _find(root, int(cluster[a])), _find(root, int(cluster[b]))
        ends = (ids[a], ids[b])
        pays = all(
            spent[end] + cost <= air.scale.cap(float(air.power[rank]), degree[end] + 1)
            for end, rank in zip(ends, (a, b), strict=True)
        )
        if one == other or not pays:
            continue
        root[max(one, other)] = min(one, other)
        for end in ends:
            degree[end] += 1
            spent[end] += cost
        found.append(Link(*ends, 2 * air.scale.watts(cost, 1) * air.delay))
    parts: dict[int, list[int]] = {}
    for number in range(len(root)):
        parts.setdefault(_find(root, number), []).append(number)
    power = {device: air.scale.watts(spent[device], links_of) for device, links_of in degree.items() if links_of}
    return Backbone(tuple(found), tuple(map(tuple, parts.values())), power, clusters)


def _find(root: list[int], at: int) -> int:
    while root[at] != at:
        root[at] = root[root[at]]
        at = root[at]
    return at
