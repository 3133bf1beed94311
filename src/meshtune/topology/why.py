"""Why a device is in its cluster and others are not: one sentence per reason, with the figures that decided.

When merging ends, every two remaining clusters break at least one bound together. The first broken one is named, in
the order range, size, power (which is how the delay bound binds), collision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from meshtune.errors import UserError
from meshtune.topology.alone import reason
from meshtune.topology.clusters import Clusters
from meshtune.topology.collision import CollisionState, alone, collided, merge, rate, replay
from meshtune.topology.phrases import figure, listed, watts

TOLD = 8
"""Number of nearest devices that the reason of an isolated device covers."""
Kind = Literal["range", "size", "power", "collision", "given"]


@dataclass(frozen=True)
class Refusal:
    """Why a device of another cluster is not in this one.

    Attributes:
        device: its id.
        kind: the bound that decided; ``given`` if none did because the clusters were given, not formed.
        sentence: an explanation with figures.
    """

    device: int
    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Why:
    """Why a device is in its cluster.

    Attributes:
        device: its id.
        reason: why it is in its cluster, or isolated.
        refused: its nearest devices elsewhere, nearest first.
    """

    device: int
    reason: str
    refused: tuple[Refusal, ...]

    def __str__(self) -> str:
        return "\n".join([self.reason, *(refusal.sentence for refusal in self.refused)])


def explain(clusters: Clusters, device: int, most: int = 8) -> Why:
    """Return why ``device`` is in its cluster and why its ``most`` nearest devices elsewhere were refused.

    Raises:
        UserError: there is no such device.
    """
    if device not in clusters.index:
        raise UserError(f"there is no device {device}: choose from {listed(clusters.air.ids.tolist())}")
    members = clusters.clusters[clusters.index[device]]
    nearest = _nearest(clusters, device, max(most, TOLD), members)
    refused = tuple(_refusal(clusters, device, other) for other in nearest)
    return Why(device, _reason(clusters, device, members, refused), refused[:most])


def _nearest(clusters: Clusters, device: int, most: int, members: tuple[int, ...]) -> list[int]:
    air = clusters.air
    count = min(most + len(members), air.ids.size)
    distances, ranks = air.tree.query(air.positions[_rank(clusters, device)], k=np.arange(1, count + 1))
    order = np.lexsort((ranks, distances))  # ties: lower id first
    found = [int(air.ids[rank]) for rank in ranks[order]]
    return [other for other in found if other not in members][:most]


def _rank(clusters: Clusters, device: int) -> int:
    return int(np.searchsorted(clusters.air.ids, device))


def _reason(clusters: Clusters, device: int, members: tuple[int, ...], refused: tuple[Refusal, ...]) -> str:
    air = clusters.air
    if len(members) > 1:
        others = [other for other in members if other != device]
        shared = figure(clusters.rates[clusters.index[device]])
        power, limit = clusters.power[device], air.power[_rank(clusters, device)]
        whom = "them" if len(others) > 1 else "it"
        return (
            f"device {device} is with {listed(others)}: their collision rate is {shared} of at most "
            f"{clusters.s_max:g}, and it reaches {whom} within {air.delay:g} s at {watts(power)} of {watts(limit)}"
        )
    cut_off = reason(air, _rank(clusters, device))
    if cut_off is not None:
        return cut_off
    near = [refusal for refusal in refused if _apart(clusters, device, refusal.device) <= air.reach]
    kinds = {kind: sum(refusal.kind == kind for refusal in near) for kind in ("collision", "power", "size", "range")}
    counts = ", ".join(f"{count} for {kind}" for kind, count in kinds.items() if count)
    return f"device {device} is alone: its {len(near)} nearest in range were refused ({counts})"


def _apart(clusters: Clusters, a: int, b: int) -> float:
    return float(clusters.air.distance(_rank(clusters, a), _rank(clusters, b)))


def _refusal(clusters: Clusters, device: int, other: int) -> Refusal:
    ours, theirs = (clusters.clusters[clusters.index[end]] for end in (device, other))
    who = (
        f"{other} was refused"
        if len(theirs) == 1
        else f"{other} (with {listed([x for x in theirs if x != other])}) was refused"
    )
    kind, because = _broken(clusters, device, other, ours, theirs)
    return Refusal(other, kind, f"{who}: {because}")


def _broken(
    clusters: Clusters, device: int, other: int, ours: tuple[int, ...], theirs: tuple[int, ...]
) -> tuple[Kind, str]:
    air = clusters.air
    if (apart := _apart(clusters, device, other)) > air.reach:
        return "range", f"it is {apart:.0f} m away, range is {air.reach:g} m"
    a, b = (np.array([_rank(clusters, member) for member in members]) for members in (ours, theirs))
    metres = air.distance(a[:, None], b[None, :])
    if metres.max() > air.reach:
        i, j = np.unravel_index(int(metres.argmax()), metres.shape)
        return "range", f"{ours[i]} and {theirs[j]} would be {metres[i, j]:.0f} m apart, range is {air.reach:g} m"
    size = len(ours) + len(theirs)
    if air.most is not None and size > air.most:
        return "size", f"together they would be {size} devices, at most {air.most} are allowed"
    together = np.concatenate([a, b])
    for member, ticks in zip(together.tolist(), air.loads(together), strict=True):
        if ticks > air.scale.cap(float(air.power[member]), size - 1):
            return "power", (
                f"device {air.ids[member]} would need {watts(air.scale.watts(ticks, size - 1))} to send to {size - 1} "
                f"within {air.delay:g} s, its limit is {watts(air.power[member])}"
            )
    shared = _union_rate(clusters, ours, theirs)
    if shared > clusters.s_max:
        return (
            "collision",
            f"together their collision rate would be {figure(shared)}, at most {clusters.s_max:g} is allowed",
        )
    return "given", "no bound forbids it, but these clusters were given, not formed"


def _union_rate(clusters: Clusters, ours: tuple[int, ...], theirs: tuple[int, ...]) -> float:
    a, b = (_state(clusters, members) for members in (ours, theirs))
    weights = clusters.use.weights
    return float(rate(collided(merge(a, b).clear, weights), weights))


def _state(clusters: Clusters, members: tuple[int, ...]) -> CollisionState:
    use, air = clusters.use, clusters.air
    states = {member: alone(use.announced[air.rows[_rank(clusters, member)]], use.whole) for member in members}
    return replay(states, clusters.merges[clusters.index[members[0]]], members[0])
