"""What links carry and cost on mean gains: one exchange over given links, each direction separately.

Fading is drawn per round; here every gain is its mean, and the payload is the forecast one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshtune.network.geometry import Geometry
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.link import outage_probability, rate
from meshtune.wireless.link_budget import link_gains, over_the_air
from meshtune.wireless.orthogonal_bands import LinkBudget
from meshtune.wireless.places import distances


@dataclass(frozen=True, eq=False)
class Flow:
    """One exchange over given links on mean gains, each direction separately.

    Attributes:
        sender: (L,) ids; ``receiver`` likewise.
        metres: (L,) lengths; ``gain``: (L,) mean gains, linear.
        outage: (L,) probability under Rayleigh fading that a link cannot carry the payload in its share of the band,
            even with the sender's whole power; NaN for recorded gains.
        capacity: (L,) bit/s in the link's share of the band at an even share of p_max, without interference.
        budget: what each link takes.
    """

    sender: Ints
    receiver: Ints
    metres: Floats
    gain: Floats
    capacity: Floats
    outage: Floats
    budget: LinkBudget

    def pairs(self, served: bool = True) -> list[tuple[int, int]]:
        """Return (sender, receiver) of the links that are served, or of those that are not."""
        keep = self.budget.served == served
        return list(zip(self.sender[keep].tolist(), self.receiver[keep].tolist(), strict=True))

    def served(self, served: bool) -> dict[int, tuple[int, ...]]:
        """Return, per sender, the receivers of its links that are served, or of those that are not, ids ascending."""
        found: dict[int, list[int]] = {}
        for sender, receiver in self.pairs(served):
            found.setdefault(sender, []).append(receiver)
        return {device: tuple(sorted(others)) for device, others in found.items()}


def flow(where: Geometry, neighbours: Mapping[int, Sequence[int]], bits: float) -> Flow:
    """Return one exchange of ``bits`` over the links of a graph, in both directions."""
    return pair_flow(where, [(device, other) for device, others in neighbours.items() for other in others], bits)


def pair_flow(where: Geometry, pairs: Sequence[tuple[int, int]], bits: float) -> Flow:
    """Return one exchange of ``bits`` over (sender, receiver) links, in the given order."""
    sender, receiver = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    config, positions = where.config, where.positions
    budget = over_the_air(config, where.channel, positions, sender, receiver, bits, None)
    gain = link_gains(where.channel, positions, sender, receiver, None)
    u = 1 if config.cast == "broadcast" else np.maximum(budget.u[sender], 1)
    outage = outage_probability(where.radio, bits, gain, u)
    capacity = rate(where.radio, where.radio.p_max / u, gain, u)
    if config.channel == "trace":
        outage = np.full(len(sender), np.nan)
    elif config.fading == "none":
        outage = (~budget.served).astype(np.float64)
    return Flow(sender, receiver, distances(positions, sender, receiver), gain, capacity, outage, budget)
