"""Log-distance path loss with log-normal shadowing: the textbook model, fitted to an environment by four numbers.

Loss in dB = reference loss + 10 n log10(d / reference distance) + X, X ~ N(0, sigma^2) once per pair
(Rappaport, Wireless Communications, 4.9).
"""

from __future__ import annotations

import numpy as np

from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.channel import Channel, check_distance, shadowing


class LogDistance(Channel):
    """Settings: :class:`meshtune.wireless.config.LogDistanceConfig`."""

    def mean_gain(self, distance: Floats, a: Ints, b: Ints) -> Floats:
        check_distance(distance, a, b)
        own = self.config.log_distance
        decades = np.log10(np.maximum(distance / own.reference_distance, 1.0))
        loss = own.reference_loss_db + 10 * own.exponent * decades + shadowing(self.seed, own.shadowing_db, a, b)
        found: Floats = np.power(10.0, -loss / 10)
        return found


CHANNEL = LogDistance
