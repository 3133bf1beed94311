"""Clusters by the paper's agglomerative clustering (AGNES): who fine-tunes together.

Starting from single devices, the allowed pair of clusters with the lowest key is merged until no pair is allowed. The
key is (collision rate of the merged set in steps of 1/1000, its total transmit energy, lower id, higher id); a
cluster's id is that of its lowest member. Without the tie-break by energy (``clusters.tie_break=none``) it is the rate
itself, then the ids, which is the paper's criterion alone. Two clusters may merge if the merged rate is at most S_max,
all members are in range of each other, each can power its links, and the size is allowed. Bounds and key are monotone
in the set, which allows a near-linear implementation: a spatial index yields the pairs in range, a heap orders them by
key, and a merged cluster's candidates are the common candidates of both its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

import numpy as np

from meshtune.topology.bounds import LinkBounds, crossing
from meshtune.topology.clusters import Clusters, assemble, check, single
from meshtune.topology.collision import CollisionState, Use, merge, merged, order, rate
from meshtune.topology.config import ClusterConfig, TieBreak

TOLD = 50
"""Number of merges between progress reports."""


def form(
    air: LinkBounds,
    use: Use,
    s_max: float = 0.1,
    told: Callable[[int], None] | None = None,
    tie_break: TieBreak = "energy",
) -> Clusters:
    """Return the clusters of the devices in ``air``, by the greedy merging described above.

    Args:
        air: positions, costs and bounds.
        use: what the devices announced, in the original row order of ``air``.
        s_max: highest collision rate of a cluster, above 0 and at most 1.
        told: called periodically with the number of merges so far, which stays below the number of devices.
        tie_break: what decides between pairs of nearly equal rates.

    Raises:
        UserError: s_max is out of bounds, or ``use`` and ``air`` differ in devices.
    """
    check(air, use, s_max)
    greedy = _Greedy(air, use, s_max, tie_break)
    greedy.run(told)
    return assemble(air, use, s_max, greedy.history)


def clustered(config: ClusterConfig, air: LinkBounds, use: Use, told: Callable[[int], None] | None = None) -> Clusters:
    """Return the clusters that ``config`` asks for; the arguments are those of :func:`form`."""
    return single(air, use) if config.kind == "single" else form(air, use, config.s_max, told, config.tie_break)


class _Greedy:
    """The clusters during merging, by rank; a merged cluster keeps the lower rank."""

    def __init__(self, air: LinkBounds, use: Use, s_max: float, tie_break: TieBreak) -> None:
        self.air, self.use, self.s_max, self.tie_break = air, use, s_max, tie_break
        devices = air.ids.size
        self.state = use.state(air.rows)
        self.links = air.links.table(devices)
        self.members = [[device] for device in range(devices)]
        self.load = [0] * devices
        self.spent = [0] * devices  # ticks per cluster
        self.caps: dict[int, list[int]] = {}
        self.near: list[set[int]] = [set() for _ in range(devices)]
        self.heap: list[tuple[int, float, int, int, int, int]] = []
        self.history: list[tuple[int, int]] = []

    def run(self, told: Callable[[int], None] | None) -> None:
        self._pair_up()
        while self.heap:
            _, _, a, b, size_a, size_b = heappop(self.heap)
            # Rank and size identify one state of a cluster: clusters only grow, and an absorbed one is empty.
            if len(self.members[a]) == size_a and len(self.members[b]) == size_b:
                self._merge(a, b)
                if told is not None and len(self.history) % TOLD == 0:
                    told(len(self.history))

    def _pair_up(self) -> None:
        links, weights = self.air.links, self.use.weights
        if self.air.most == 1:
            return
        low, high, ticks = (array[links.affordable] for array in (links.low, links.high, links.ticks))
        collisions = np.empty(low.size, dtype=np.int64)
        for start in range(0, low.size, 1 << 14):  # in parts: the states of all pairs would take gigabytes
            part = slice(start, start + (1 << 14))
            a, b = (CollisionState(self.state.none[end[part]], self.state.clear[end[part]]) for end in (low, high))
            collisions[part] = merged(a, b, weights)
        keep = rate(collisions, weights) <= self.s_max
        low, high, ticks, collisions = (array[keep] for array in (low, high, ticks, collisions))
        energy = self.air.scale.ratio(1) * (2 * ticks) if self.tie_break == "energy" else np.zeros(low.size)
        ends = low.tolist(), high.tolist()
        ones = [1] * low.size
        first = order(collisions, weights, self.tie_break).tolist()
        self.heap = list(zip(first, energy.tolist(), *ends, ones, ones, strict=True))
        heapify(self.heap)
        for a, b in zip(*ends, strict=True):
            self.near[a].add(b)
            self.near[b].add(a)

    def _merge(self, a: int, b: int) -> None:
        ids = self.air.ids
        self.history.append((int(ids[a]), int(ids[b])))
        ours, theirs = self.members[a], self.members[b]
        for one, other in ((ours, theirs), (theirs, ours)):
            for member in one:
                extra = sum([self.links[member][end] for end in other])
                self.load[member] += extra
                self.spent[a] += extra
        self.spent[a] += self.spent[b]
        self.members[a], self.members[b] = ours + theirs, []
        none, clear = self.state
        none[a], clear[a] = merge(CollisionState(none[a], clear[a]), CollisionState(none[b], clear[b]))
        # Bounds are monotone: what may merge with the new cluster was allowed to merge with both parts.
        both = self.near[a] & self.near[b]
        for gone in (a, b):
            for candidate in self.near[gone]:
                self.near[candidate].discard(gone)
        self.near[a], self.near[b] = set(), set()
        if both:
            self._push(a, list(both))

    def _push(self, a: int, others: list[int]) -> None:
        weights, (none, clear) = self.use.weights, self.state
        collisions = merged(CollisionState(none[a], clear[a]), CollisionState(none[others], clear[others]), weights)
        allowed = (rate(collisions, weights) <= self.s_max).tolist()
        ours, first = self.members[a], order(collisions, weights, self.tie_break).tolist()
        for b, first_b, fits in zip(others, first, allowed, strict=True):
            theirs = self.members[b]
            size = len(ours) + len(theirs)
            if not fits or (self.air.most is not None and size > self.air.most):
                continue
            caps = self.caps.setdefault(size - 1, []) or self._caps(size - 1)
            extra = crossing(ours, theirs, self.links, self.load, caps)
            back = None if extra is None else crossing(theirs, ours, self.links, self.load, caps)
            if extra is None or back is None:
                continue
            spent = self.spent[a] + self.spent[b] + extra + back
            energy = self.air.scale.ratio(size - 1) * spent if self.tie_break == "energy" else 0.0
            low, high = (a, b) if a < b else (b, a)
            heappush(self.heap, (first_b, energy, low, high, len(self.members[low]), len(self.members[high])))
            self.near[a].add(b)
            self.near[b].add(a)

    def _caps(self, u: int) -> list[int]:
        self.caps[u] = self.air.caps(u)
        return self.caps[u]
