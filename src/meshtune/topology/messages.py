"""The messages that form clusters, and the size of each.

Sizes are those of a plain packing: ids and ticks 8 bytes, an epoch 4, a number of devices 2, a kind 1, a coordinate and
a power 8, a density 2, a row count 1 (2 beyond rank 255). A message to many is sent once: all in range hear it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 8 + 4 + 1 + 4
"""Bytes before each body: sender, epoch, kind, length in entries."""


@dataclass(frozen=True, eq=False)
class Hello:
    """What a device says about itself, once.

    Attributes:
        position: x, y in metres.
        power: its power limit in watts.
        announced: (cells,) uint8 or uint16, the used part of each cell.
    """

    position: tuple[float, float]
    power: float
    announced: NDArray[np.unsignedinteger[Any]]

    @property
    def nbytes(self) -> int:
        """Bytes of the body."""
        return 16 + 8 + self.announced.nbytes


@dataclass(frozen=True)
class Reports:
    """The costs that a device measures to those it hears, sent once.

    Attributes:
        ticks: cost of the link to each id.
    """

    ticks: Mapping[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the body."""
        return 16 * len(self.ticks)


@dataclass(frozen=True)
class FormedCluster:
    """A cluster formed by merging two others.

    Attributes:
        merges: ids (lower, higher) of all clusters merged into it, in order.
    """

    merges: tuple[tuple[int, int], ...]

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Ids of its devices, ascending."""
        return tuple(sorted({device for pair in self.merges for device in pair}))

    @property
    def nbytes(self) -> int:
        """Bytes of the body."""
        return 16 * len(self.merges)


@dataclass(frozen=True)
class Proposal:
    """Says that the receiver's cluster is the sender's best candidate.

    Attributes:
        ours: devices of the sender's cluster; theirs: of the receiver's. With the leaders' ids they identify both
            states.
    """

    ours: int
    theirs: int

    @property
    def nbytes(self) -> int:
        """Bytes of the body, receiver included."""
        return 8 + 2 + 2


Announced = Hello | Reports | FormedCluster | Proposal


@dataclass(frozen=True)
class ClusterMessage:
    """A message in transit.

    Attributes:
        sender: id; to: ids of all who hear it.
        epoch: number of the clustering run it belongs to.
        body: its content.
    """

    sender: int
    to: tuple[int, ...]
    epoch: int
    body: Announced

    @property
    def nbytes(self) -> int:
        """Bytes sent."""
        return HEADER + self.body.nbytes
