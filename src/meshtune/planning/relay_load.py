"""How many updates each device sends in an exchange: its own within its cluster, and all between clusters.

Within a cluster every member hears every other. Links between clusters form a forest, so there is exactly one path
between any two connected clusters. All updates from the near side of a link cross it once, and the device at its far
end relays them to its cluster. Each update reaches each device once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshtune.topology.backbone import Backbone
from meshtune.wireless.arrays import Ints


@dataclass(frozen=True, eq=False)
class RelayLoad:
    """Copies sent by each device, and updates crossing each link between clusters.

    Attributes:
        own: (n,) copies of its own update in an exchange within the cluster.
        out: (n,) copies of its own update in an exchange between clusters.
        passed: (n,) copies of others' updates in an exchange between clusters, over these links and in its cluster.
        arrivals: (n,) others' updates that reach it over these links for relaying within its cluster.
        crossing: (links, 2) updates from the lower to the higher id, and back.
    """

    own: Ints
    out: Ints
    passed: Ints
    arrivals: Ints
    crossing: Ints


def relay_load(backbone: Backbone, served: Sequence[int], relay: bool, one_copy: bool) -> RelayLoad:
    """Return what is carried over ``backbone`` and within its clusters.

    Args:
        backbone: clusters and the links between them; ids are 0 to n - 1.
        served: per device, how many devices of its cluster it serves.
        relay: whether devices relay others' updates.
        one_copy: whether this is a broadcast: one copy for all neighbours.
    """
    copies = np.asarray(served, dtype=np.int64)
    devices = len(copies)
    inner = np.minimum(copies, 1) if one_copy else copies
    sides, parts = _sides(backbone)
    crossing = sides if relay else np.ones_like(sides)
    links_of, onward, arrivals = (np.zeros(devices, dtype=np.int64) for _ in range(3))
    for link, (there, back) in zip(backbone.links, crossing.tolist(), strict=True):
        for end, sent, comes in ((link.low, there, back), (link.high, back, there)):
            links_of[end] += 1
            onward[end] += sent - 1
            if relay and inner[end]:
                arrivals[end] += comes
    if one_copy:
        # Several links of one device lead to different sides, and together need everything but its own update.
        both = links_of > 1
        onward = np.where(both, parts - 1 if relay else 0, onward)
    out = np.minimum(links_of, 1) if one_copy else links_of
    return RelayLoad(inner, out, onward + arrivals * inner, arrivals, crossing)


def _sides(backbone: Backbone) -> tuple[Ints, Ints]:
    """Return the number of devices on the lower id's side of every link and on the other, and per device its part's."""
    clusters = backbone.clusters
    sizes = [len(members) for members in clusters.clusters]
    ends = [(clusters.index[link.low], clusters.index[link.high]) for link in backbone.links]
    near: list[list[tuple[int, int]]] = [[] for _ in sizes]
    for number, (a, b) in enumerate(ends):
        near[a].append((b, number))
        near[b].append((a, number))
    below, whole = list(sizes), list(sizes)
    above: dict[int, int] = {}  # link -> the cluster below it
    for part in backbone.parts:
        order, parent = [part[0]], {part[0]: part[0]}
        for cluster in order:
            for other, number in near[cluster]:
                if other != parent[cluster]:
                    parent[other] = cluster
                    above[number] = other
                    order.append(other)
        for cluster in reversed(order[1:]):
            below[parent[cluster]] += below[cluster]
        for cluster in order:
            whole[cluster] = below[part[0]]
    sides = np.zeros((len(ends), 2), dtype=np.int64)
    for number, (a, _) in enumerate(ends):
        lower = above[number]
        under = below[lower]
        sides[number] = (under, whole[lower] - under) if lower == a else (whole[lower] - under, under)
    parts = np.array([whole[clusters.index[device]] for device in sorted(clusters.index)], dtype=np.int64)
    return sides, parts
