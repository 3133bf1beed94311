"""The result of clustering: who fine-tunes with whom, at which collision rate and power."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from meshtune.errors import UserError
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import CollisionState, Use, collided, rate, replay

Merges = tuple[tuple[int, int], ...]
"""How a cluster was formed: ids (lower, higher) of the clusters merged, in order."""


@dataclass(frozen=True)
class Clusters:
    """Who fine-tunes with whom.

    Attributes:
        clusters: ids of each cluster's members, ascending; clusters by their lowest member.
        rates: expected collision rate of each cluster.
        power: watts that each device needs for all its links in its cluster together, to meet the delay bound.
        merges: how each cluster was formed.
        air: the devices; use: what they announced; s_max: the bound on collisions.
    """

    clusters: tuple[tuple[int, ...], ...]
    rates: tuple[float, ...]
    power: dict[int, float]
    merges: tuple[Merges, ...]
    air: LinkBounds = field(repr=False, compare=False)
    use: Use = field(repr=False, compare=False)
    s_max: float

    @property
    def energy(self) -> dict[int, float]:
        """Joules that each device spends on one exchange within its cluster."""
        return {device: watts * self.air.delay for device, watts in self.power.items()}

    @cached_property
    def index(self) -> dict[int, int]:
        """The number of each device's cluster."""
        return {device: number for number, members in enumerate(self.clusters) for device in members}

    def neighbours(self) -> dict[int, tuple[int, ...]]:
        """Return each device's neighbours in its cluster: all other members, ids ascending."""
        return {
            device: tuple(other for other in self.clusters[number] if other != device)
            for device, number in sorted(self.index.items())
        }


def single(air: LinkBounds, use: Use) -> Clusters:
    """Return all devices as one cluster, regardless of its rate and power: the paper's "one cluster"."""
    check(air, use, 1.0)
    first, *others = air.ids.tolist()
    return assemble(air, use, 1.0, [(first, other) for other in others])


def check(air: LinkBounds, use: Use, s_max: float) -> None:
    """Raise a UserError unless ``s_max`` is in (0, 1] and ``use`` has a row for every device."""
    if not 0 < s_max <= 1:
        raise UserError(f"a highest collision rate of {s_max:g} is outside (0, 1]: give a share of positions, like 0.1")
    if len(use.announced) != air.ids.size:
        raise UserError(
            f"{len(use.announced)} devices announced densities, {air.ids.size} have positions: give both for all"
        )


def assemble(air: LinkBounds, use: Use, s_max: float, history: Iterable[tuple[int, int]]) -> Clusters:
    """Return the clusters that result from these merges of ids (lower, higher), in this order."""
    ids: list[int] = air.ids.tolist()
    rank = {device: at for at, device in enumerate(ids)}
    members = {device: [device] for device in ids}
    merges: dict[int, list[tuple[int, int]]] = {device: [] for device in ids}
    for low, high in history:
        members[low] += members.pop(high)
        merges[low] += [*merges.pop(high), (low, high)]
    rates, power = [], {}
    for lowest, cluster in members.items():
        cluster.sort()
        at = np.array([rank[device] for device in cluster])
        states = dict(zip(cluster, _split(use.state(air.rows[at])), strict=True))
        rates.append(float(rate(collided(replay(states, merges[lowest], lowest).clear, use.weights), use.weights)))
        for device, ticks in zip(cluster, air.loads(at), strict=True):
            power[device] = air.scale.watts(ticks, len(cluster) - 1)
    return Clusters(
        clusters=tuple(map(tuple, members.values())),
        rates=tuple(rates),
        power=dict(sorted(power.items())),
        merges=tuple(map(tuple, merges.values())),
        air=air,
        use=use,
        s_max=s_max,
    )


def _split(states: CollisionState) -> list[CollisionState]:
    return [CollisionState(none, clear) for none, clear in zip(states.none, states.clear, strict=True)]
