"""The paper's channel: mean gain d^-2 with d in metres (eq. 8).

Optimistic: 54 dB at 500 m, where free space at 2 GHz loses 92 dB. Below one metre the gain exceeds 1, as the formula
says.
"""

from __future__ import annotations

from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.channel import Channel, check_distance


class InverseSquare(Channel):
    """h = rho d^-2."""

    def mean_gain(self, distance: Floats, a: Ints, b: Ints) -> Floats:
        check_distance(distance, a, b)
        found: Floats = 1 / (distance * distance)
        return found


CHANNEL = InverseSquare
