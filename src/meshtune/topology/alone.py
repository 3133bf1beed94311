"""Isolated devices: nobody is in range, or no link fits into the power of both ends. Each with the reason."""

from __future__ import annotations

import numpy as np

from meshtune.topology.bounds import LinkBounds
from meshtune.topology.phrases import watts


def alone(air: LinkBounds) -> dict[int, str]:
    """Return the devices that cannot link to any other, ids ascending, each with a one-sentence reason."""
    linked = np.zeros(air.ids.size, dtype=bool)
    for ends in (air.links.low, air.links.high):
        linked[ends[air.links.affordable]] = True
    found = {int(air.ids[rank]): reason(air, rank) for rank in np.flatnonzero(~linked).tolist()}
    return {device: why for device, why in found.items() if why is not None}


def reason(air: LinkBounds, rank: int) -> str | None:
    """Return why the device of ``rank`` cannot link to any other; None if it can."""
    device = air.ids[rank]
    if air.ids.size == 1:
        return f"device {device} is alone: there is no other device"
    near = np.array(air.tree.query_ball_point(air.positions[rank], air.reach * (1 + 1e-9)), dtype=np.int64)
    near = np.sort(near[(near != rank) & (air.distance(near, rank) <= air.reach)])
    if not near.size:
        distances, ranks = air.tree.query(air.positions[rank], k=[1, 2])
        apart, nearest = next((d, r) for d, r in zip(distances, ranks, strict=True) if r != rank)
        return (
            f"device {device} is alone: no other device is within {air.reach:g} m, the nearest, {air.ids[nearest]}, is "
            f"{apart:.0f} m away"
        )
    ticks = air.cost(near, np.full_like(near, rank))
    caps = [min(air.scale.cap(float(air.power[end]), 1) for end in (rank, other)) for other in near.tolist()]
    if (ticks <= np.array(caps)).any():
        return None
    cheapest = int(ticks.argmin())
    limit = float(min(air.power[rank], air.power[near[cheapest]]))
    return (
        f"device {device} is alone: the cheapest link of {near.size} in range, to {air.ids[near[cheapest]]}, needs "
        f"{watts(air.scale.watts(int(ticks[cheapest]), 1))} to meet {air.delay:g} s, the limit is {watts(limit)}"
    )
