"""Random graphs that fit the radio: links only in range, and only as many as each device can power."""

from __future__ import annotations

from meshtune.errors import UserError
from meshtune.seeds import stream
from meshtune.topology.bounds import LinkBounds


def random_within(air: LinkBounds, degree: int, seed: int = 0) -> dict[int, tuple[int, ...]]:
    """Return the neighbours of every device, ids ascending; links are bidirectional.

    Each device in turn draws ``degree`` others in range, or all if there are fewer. A link is kept if both ends can
    power all their links at the resulting split of the band. The graph may be disconnected.

    Args:
        air: the devices.
        degree: links that each device draws.
        seed: of the draws.

    Raises:
        UserError: ``degree`` is below 1.
    """
    if degree < 1:
        raise UserError(f"a random graph of {degree} links a device has none: give 1 or more")
    ids = air.ids.tolist()
    table = air.links.table(len(ids))
    chosen: list[set[int]] = [set() for _ in ids]
    spent = [0] * len(ids)
    draw = stream(seed, "radio graph")
    for device, costs in enumerate(table):
        others = sorted(costs)
        for other in draw.permutation(others).tolist()[:degree] if others else []:
            ends = (device, other)
            if other not in chosen[device] and all(
                spent[end] + costs[other] <= air.scale.cap(float(air.power[end]), len(chosen[end]) + 1) for end in ends
            ):
                chosen[device].add(other)
                chosen[other].add(device)
                for end in ends:
                    spent[end] += costs[other]
    return {ids[rank]: tuple(ids[other] for other in sorted(others)) for rank, others in enumerate(chosen)}
