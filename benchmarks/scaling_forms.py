"""What a device sends, stores and computes, in closed form: the formulas of docs/scaling.md, each beside its symbol.

M devices in C clusters of m_c, connected by a forest of C - 1 links; unicast, bfloat16. Means are
over devices. Nothing here looks at places, links or messages: what a plan or a run makes of those is measured by
benchmarks/scaling.py and set beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Sizes = Sequence[int]
"""m_c: devices of every cluster."""


@dataclass(frozen=True)
class Piece:
    """What one device's expert and statistics are made of.

    Attributes:
        positions: D, of B over all layers, the sum of d r; ``density``: s.
        width: k of the hidden states; ``sketch``: q, eigenvectors that are sent.
        pair: weights of a dense LoRA pair, the sum of r (k + d); ``weights``: P, of the base.
        narrowest: the fewest inputs of a layer; ``rank``: r.
    """

    positions: int
    density: float
    width: int
    sketch: int
    pair: int
    weights: int
    narrowest: int
    rank: int

    @property
    def values(self) -> float:
        """Q = s D."""
        return self.density * self.positions

    @property
    def update(self) -> float:
        """U = 2 Q bytes."""
        return 2 * self.values

    @property
    def mask(self) -> float:
        """K = D H(s) / 8 bytes, H the entropy of a position in bits."""
        s = self.density
        return self.positions * -(s * math.log2(s) + (1 - s) * math.log2(1 - s)) / 8

    @property
    def router(self) -> float:
        """2 (k (q + 2) + q) bytes: a mean, a diagonal, q eigenvectors and their values."""
        return 2 * (self.width * (self.sketch + 2) + self.sketch)

    @property
    def once(self) -> float:
        """A = K and the router's sketch."""
        return self.mask + self.router

    @property
    def held(self) -> float:
        """Bytes that a run keeps of one device it heard: 2 Q of values, 8 Q of positions, its sketch in float64."""
        return 10 * self.values + 4 * self.router

    @property
    def packed(self) -> float:
        """The same as it came over the air: U + A."""
        return self.update + self.once

    @property
    def blocks(self) -> int:
        """Task groups with orthogonal projections: floor(min k / r)."""
        return self.narrowest // self.rank

    @property
    def coherence(self) -> float:
        """Of two gaussian projections at the narrowest layer: sqrt(r / (k + r + 1))."""
        return math.sqrt(self.rank / (self.narrowest + self.rank + 1))


def mates(sizes: Sizes) -> float:
    """Return m~: the devices of a device's cluster, itself included, on average over devices."""
    return sum(size**2 for size in sizes) / sum(sizes)


def within(piece: Piece, sizes: Sizes) -> float:
    """Return (m~ - 1) U: bytes a device sends in a round's exchange within its cluster."""
    return (mates(sizes) - 1) * piece.update


def between(piece: Piece, sizes: Sizes) -> float:
    """Return (M - m~) U: bytes an exchange between clusters takes of a device, one copy for every pair of devices."""
    return (sum(sizes) - mates(sizes)) * piece.update


def once(piece: Piece, sizes: Sizes) -> float:
    """Return (M - 1) A: bytes of announcements, each brought to each device once."""
    return (sum(sizes) - 1) * piece.once


def crossing(sizes: Sizes, leaf: int) -> int:
    """Return M - m_leaf: updates over the busiest link, into the smallest cluster that has a single one."""
    return sum(sizes) - leaf


def airtime(sizes: Sizes, gamma: float) -> float:
    """Return seconds on the air of a device in an exchange between clusters, links of one device one by one.

    Over every link M updates cross both ways together, and every cluster of two or more is passed M - m_c on.
    """
    devices = sum(sizes)
    passed = sum(devices - size for size in sizes if size > 1)
    return gamma * (passed / devices + len(sizes) - 1)


def by_group(piece: Piece, sizes: Sizes, groups: int) -> float:
    """Return bytes a device would send between clusters, were only G sums to go up and down the forest.

    G updates over each link, both ways, and from the one end that has all to its cluster; what gateways of one cluster
    hand each other is counted as another crossing. Nothing does this yet.
    """
    devices, links = sum(sizes), len(sizes) - 1
    return groups * (4 * links + devices - len(sizes)) / devices * piece.update


def collided(density: float, members: int) -> float:
    """Return 1 - (1 - s)^m - m s (1 - s)^(m - 1): eq. 19 at one density."""
    free = 1 - density
    return max(0.0, 1 - free**members - members * density * free ** (members - 1))


def columns(sources: int, groups: int, sketch: int) -> int:
    """Return the factors of the pooled covariance: q a source, and its mean where its group has several."""
    return sources * sketch + (sources if sources > groups else 0)


def core(sources: int, groups: int, sketch: int) -> float:
    """Return the bytes of Woodbury's inner matrix, float64."""
    return 8.0 * columns(sources, groups, sketch) ** 2


def cycles(piece: Piece, tokens: int, per_cycle: float = 16.0) -> float:
    """Return 4 P tokens / FLOP a cycle: a round's training."""
    return 4 * piece.weights * tokens / per_cycle


def soft(piece: Piece, groups: int) -> float:
    """Return what a soft gate over G experts adds to a token's forward pass, as a share of the base's: G pair / P."""
    return groups * piece.pair / piece.weights
