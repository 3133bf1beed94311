"""The limits of the radio: who is in range, what a link costs, and whether a set of devices can afford its links.

All bounds are monotone: if a set breaks one, so does every superset. This is why all clustering algorithms agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshtune.errors import UserError
from meshtune.topology.power import Scale


@dataclass(frozen=True, eq=False)
class Links:
    """All pairs of devices in range, each once.

    Attributes:
        low: (links,) rank of the lower-numbered end; high: of the other.
        ticks: (links,) cost for either end: the higher one of both directions.
        affordable: (links,) whether both ends could pay if they had no other neighbour.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    ticks: NDArray[np.int64]
    affordable: NDArray[np.bool_]

    def table(self, devices: int) -> list[dict[int, int]]:
        """Return, for the rank of every device, the ticks to each rank that it can reach and afford."""
        found: list[dict[int, int]] = [{} for _ in range(devices)]
        keep = self.affordable
        for a, b, cost in zip(
            self.low[keep].tolist(), self.high[keep].tolist(), self.ticks[keep].tolist(), strict=True
        ):
            found[a][b] = found[b][a] = cost
        return found


@dataclass(frozen=True, eq=False)
class LinkBounds:
    """The devices and the links between them. Rows may be in any order; internally devices are ranked by id.

    Attributes:
        ids: (n,) ids of the devices, each once; ascending once constructed.
        positions: (n, 2) in metres.
        reach: range in metres: devices farther apart never link.
        inverse_gain: 1/h of links, from the original rows of the senders (m,) and of the receivers (m,).
        power: (n,) or one for all: the power limit p_max in watts.
        factor: see :class:`Scale`.
        delay: the bound Gamma on a link's airtime in seconds, for energies and explanations.
        most: maximum number of devices in a cluster; None for no bound.
        rows: (n,) the original row of each rank; computed.
    """

    ids: Any
    positions: Any
    reach: float
    inverse_gain: Callable[[NDArray[np.int64], NDArray[np.int64]], ArrayLike]
    power: Any
    factor: Callable[[int], float]
    delay: float = 0.5
    most: int | None = None
    rows: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        ids = np.asarray(self.ids)
        if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
            raise UserError("device ids are not a list of integers: give every device one")
        order = np.argsort(ids, kind="stable")
        ids = ids[order].astype(np.int64)
        twice = ids[1:][ids[1:] == ids[:-1]]
        if twice.size:
            raise UserError(f"device id {twice[0]} appears twice: device ids must be unique")
        positions = np.asarray(self.positions, dtype=np.float64)
        if positions.shape != (ids.size, 2) or not np.isfinite(positions).all():
            raise UserError(
                f"positions have the shape {positions.shape}, there are {ids.size} devices: give each a row x, y in "
                "metres, all finite"
            )
        power = np.asarray(self.power, dtype=np.float64)
        if power.shape not in ((), ids.shape):
            raise UserError(
                f"{power.size} power limits are given for {ids.size} devices: give one for all or one for each"
            )
        power = np.broadcast_to(power, ids.shape)[order]
        bad = ~(np.isfinite(power) & (power > 0))
        if bad.any():
            raise UserError(
                f"the power limit of device {ids[bad][0]} is {power[bad][0]:g} W: give a finite one above 0"
            )
        for name, value in (("range", self.reach), ("delay bound", self.delay)):
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"a {name} of {value:g} is not positive and finite: give one that is")
        if self.most is not None and self.most < 1:
            raise UserError(f"a maximum cluster size of {self.most} is impossible: give 1 or more, or no bound")
        for name, array in (("ids", ids), ("positions", positions[order]), ("power", power), ("rows", order)):
            object.__setattr__(self, name, array)

    @cached_property
    def scale(self) -> Scale:
        """The conversion between power and ticks."""
        return Scale(float(self.power.max()), self.factor)

    @cached_property
    def tree(self) -> Any:
        """A spatial index (scipy's KD-tree) over the ranks."""
        from scipy.spatial import cKDTree  # takes a third of a second: do not delay help and errors

        return cKDTree(self.positions)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs in range: (pairs,) ranks of the lower id and of the higher one."""
        pairs = self.tree.query_pairs(self.reach * (1 + 1e-9), output_type="ndarray").astype(np.int64)
        pairs = pairs[self.distance(pairs[:, 0], pairs[:, 1]) <= self.reach]
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        return pairs[:, 0].copy(), pairs[:, 1].copy()

    @cached_property
    def links(self) -> Links:
        """All pairs in range with their costs."""
        low, high = self.pairs
        ticks = self.cost(low, high)
        caps = np.array(self.caps(1), dtype=np.int64)
        return Links(low, high, ticks, ticks <= np.minimum(caps[low], caps[high]))

    def distance(self, a: Any, b: Any) -> NDArray[np.float64]:
        """Return the metres between ranks ``a`` and ``b``."""
        return distance(self.positions[a], self.positions[b])

    def cost(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ticks of links between ranks ``a`` and ``b``: the higher ones of both directions.

        Raises:
            UserError: an inverse gain is not positive, as between two devices at the same position.
        """
        return np.maximum(self.report(a, b), self.report(b, a))

    def report(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ticks from ranks ``a`` to ranks ``b``, in this direction only."""
        loss = np.asarray(self.inverse_gain(self.rows[a], self.rows[b]), dtype=np.float64)
        if loss.shape != a.shape:
            raise UserError(f"{a.size} links were requested and {loss.size} inverse gains given: give one per link")
        bad = ~(loss > 0)
        if bad.any():
            first, second = (int(end[bad][0]) for end in (a, b))
            x, y = self.positions[first]
            same = bool((self.positions[first] == self.positions[second]).all())
            raise UserError(
                f"devices {self.ids[first]} and {self.ids[second]} are both at ({x:g}, {y:g}): move one"
                if same
                else f"the inverse gain from device {self.ids[first]} to {self.ids[second]} is {loss[bad][0]:g}: "
                "give more than 0"
            )
        return self.scale.ticks(loss)

    def loads(self, at: NDArray[np.int64]) -> list[int]:
        """Return the ticks that each of the ranks ``at`` (n,) spends on all the others."""
        a, b = np.triu_indices(len(at), 1)
        cost = self.cost(at[a], at[b])
        spent = [np.bincount(end, cost, len(at)) for end in (a, b)]  # float64: exact for all affordable sums
        return [int(ticks) for ticks in spent[0] + spent[1]]

    def caps(self, u: int) -> list[int]:
        """Return for every rank the ticks it can spend on ``u`` neighbours in total."""
        cap = {power: self.scale.cap(power, u) for power in set(self.power.tolist())}
        return [cap[power] for power in self.power.tolist()]


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances in metres between points (..., 2)."""
    return np.asarray(np.hypot(a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]))


def crossing(
    ours: Iterable[int],
    theirs: Sequence[int],
    links: Sequence[Mapping[int, int]] | Mapping[int, Mapping[int, int]],
    load: Sequence[int] | Mapping[int, int],
    caps: Sequence[int] | Mapping[int, int],
) -> int | None:
    """Return the ticks that ``ours`` would spend on ``theirs``; None if a link is missing or a member cannot pay.

    Args:
        ours: members of one set; theirs: of another one.
        links: ticks from each of ours to each of theirs.
        load: ticks that each of ours spends already.
        caps: ticks that each of ours can spend.
    """
    total = 0
    for member in ours:
        costs = links[member]
        try:
            extra = sum([costs[other] for other in theirs])
        except KeyError:
            return None
        if load[member] + extra > caps[member]:
            return None
        total += extra
    return total
