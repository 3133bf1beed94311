"""Small random radio worlds in whole numbers, in which every quantity of the topology is also computed exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from greedy import Cluster
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import DENSITY, Use, expected

FACTORS = {1: 1, 2: 2, 3: 3, 4: 5, 5: 8, 6: 12, 7: 18, 8: 27, 9: 40}


def factor(u: int) -> float:
    return float(FACTORS[min(u, 9)])


@dataclass(frozen=True)
class World:
    """Devices on whole metres; 1/h is the squared distance, one way between most pairs ``uphill`` times that."""

    ids: tuple[int, ...]
    points: tuple[tuple[int, int], ...]
    limits: tuple[int, ...]
    densities: tuple[tuple[float, ...], ...]
    sizes: tuple[int, ...]
    s_max: float
    reach: int
    most: int | None
    uphill: int

    def shuffled(self, order: list[int]) -> World:
        """The same devices, other rows."""
        columns = ("ids", "points", "limits", "densities")
        return replace(self, **{name: tuple(getattr(self, name)[row] for row in order) for name in columns})

    @property
    def air(self) -> LinkBounds:
        where, ids = np.array(self.points, dtype=float), np.array(self.ids)

        def inverse_gain(a: NDArray[np.int64], b: NDArray[np.int64]) -> Any:
            return ((where[a] - where[b]) ** 2).sum(1) * np.where((ids[a] - ids[b]) % 3 == 1, self.uphill, 1)

        return LinkBounds(
            ids, where, self.reach, inverse_gain, np.array(self.limits, dtype=float), factor, 0.5, self.most
        )

    @property
    def use(self) -> Use:
        return expected(self.densities, self.sizes)

    def square(self, a: int, b: int) -> int:
        (x, y), (u, v) = (self.points[self.ids.index(end)] for end in (a, b))
        return (x - u) ** 2 + (y - v) ** 2

    def loss(self, a: int, b: int) -> int:
        """1/h in the worse direction."""
        return self.square(a, b) * (self.uphill if (a - b) % 3 else 1)

    def power(self, cluster: Cluster) -> dict[int, int]:
        """Watts of each member: factor(u) sum of 1/h, the worse of both directions."""
        u = len(cluster) - 1
        return {a: FACTORS[u] * sum(self.loss(a, b) for b in cluster if b != a) if u else 0 for a in cluster}

    def rate(self, cluster: Cluster) -> Fraction:
        """Eq. 19 as printed, errata mended, in fractions."""
        total = Fraction(0)
        for layer, size in enumerate(self.sizes):
            s = [Fraction(round(self.densities[self.ids.index(i)][layer] * DENSITY), DENSITY) for i in cluster]
            none = prod(1 - x for x in s)
            one = sum(s[j] * prod(1 - x for z, x in enumerate(s) if z != j) for j in range(len(s)))
            total += size * (1 - none - one)
        return total / sum(self.sizes)

    def key(self, a: Cluster, b: Cluster) -> tuple[int, int, int, int] | None:
        """The pair's key by definition, None where a bound forbids it."""
        union = tuple(sorted(a + b))
        if any(self.square(i, j) > self.reach**2 for i, j in combinations(union, 2)):
            return None
        if self.most is not None and len(union) > self.most:
            return None
        power = self.power(union)
        if any(power[i] > self.limits[self.ids.index(i)] for i in union):
            return None
        rate = self.rate(union)
        if rate > Fraction(self.s_max):
            return None
        return int(rate * 1000), sum(power.values()), min(a[0], b[0]), max(a[0], b[0])


@st.composite
def worlds(draw: st.DrawFn, most: int = 9) -> World:
    """Worlds of 1 to ``most`` devices, many ties among them."""
    devices = draw(st.integers(1, most))
    layers = draw(st.integers(1, 3))
    ids = draw(st.lists(st.integers(0, 99), min_size=devices, max_size=devices, unique=True))
    point = st.tuples(st.integers(0, 12), st.integers(0, 12))
    points = draw(st.lists(point, min_size=devices, max_size=devices, unique=True))
    density = st.one_of(st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.5, 1.0]), st.floats(0, 1))
    row = st.tuples(*[density] * layers)
    return World(
        ids=tuple(ids),
        points=tuple(points),
        limits=tuple(draw(st.lists(st.sampled_from([64, 256, 1024]), min_size=devices, max_size=devices))),
        densities=tuple(draw(st.lists(row, min_size=devices, max_size=devices))),
        sizes=tuple(draw(st.lists(st.integers(1, 500), min_size=layers, max_size=layers))),
        s_max=draw(st.sampled_from([0.01, 0.1, 0.3, 1.0])),
        reach=draw(st.integers(2, 18)),
        most=draw(st.sampled_from([None, None, 1, 2, 4])),
        uphill=draw(st.sampled_from([1, 1, 2])),
    )
