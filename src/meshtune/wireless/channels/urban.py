"""Device to device, outdoors in a city: 3GPP TR 36.843 V12.0.1, clause A.2.1.2, outdoor to outdoor.

The loss is the larger one of free space (WINNER II D1.1.2, formula 4.24) and WINNER+ B1 for a hexagonal layout (D5.3,
table 4-1), with both antennas at 1.5 m, effective heights of 0.8 m, and an offset of -5 dB without line of sight.
Whether a pair has line of sight follows the probability of WINNER II B1 (table 4-7). Shadowing is log-normal with 7 dB
for both. Each pair draws one number for line of sight and one for shadowing for the whole run. A pair that moves apart
loses line of sight once the probability falls below its number. Below 3 m, where B1 is not defined, free space applies.
"""

from __future__ import annotations

import numpy as np

from meshtune.wireless.arrays import Bools, Floats, Ints
from meshtune.wireless.channel import Channel, check_distance, ordered, shadowing
from meshtune.wireless.draws import uniforms

HEIGHT, EFFECTIVE_HEIGHT = 1.5, 0.8  # metres, of both antennas
NLOS_OFFSET = -5.0  # dB
NEAREST = 3.0  # metres
LIGHT = 3e8  # m/s, as the reports round it


def los_probability(distance: Floats) -> Floats:
    """Return the probability that a pair ``distance`` metres apart has line of sight, (L,)."""
    near = np.exp(-distance / 36)
    found: Floats = np.minimum(18 / distance, 1) * (1 - near) + near
    return found


def path_loss_db(distance: Floats, carrier: float, los: Bools) -> Floats:
    """Return the median path loss in dB, (L,).

    Args:
        distance: (L,) metres, above 0.
        carrier: Hz, from 0.45 to below 6 GHz.
        los: (L,) whether the pair has line of sight.
    """
    ghz, decades = carrier / 1e9, np.log10(distance)
    free = 20 * decades + 46.4 + 20 * np.log10(ghz / 5)
    before = 22.7 * decades + 27.0 + 20 * np.log10(ghz)
    behind = 40 * decades + 7.56 - 2 * 17.3 * np.log10(EFFECTIVE_HEIGHT) + 2.7 * np.log10(ghz)
    breakpoint_ = 4 * EFFECTIVE_HEIGHT**2 * carrier / LIGHT
    in_sight = np.where(distance <= breakpoint_, before, behind)
    if ghz < 1.5:
        constant = 16.33 + 26.16 * np.log10(ghz)
    elif ghz < 2:
        constant = 14.78 + 34.97 * np.log10(ghz)
    else:
        constant = 18.38 + 23.0 * np.log10(ghz)
    slope = 44.9 - 6.55 * np.log10(HEIGHT)
    out_of_sight = slope * decades + 5.83 * np.log10(HEIGHT) + constant + NLOS_OFFSET
    b1 = np.where(los, in_sight, out_of_sight)
    found: Floats = np.where(distance < NEAREST, free, np.maximum(free, b1))
    return found


class Urban(Channel):
    """Settings: :class:`meshtune.wireless.config.UrbanConfig`."""

    def line_of_sight(self, distance: Floats, a: Ints, b: Ints) -> Bools:
        """Return which pairs have line of sight, (L,); arguments as in :meth:`mean_gain`."""
        u, _ = uniforms(self.seed, "line of sight", first=ordered(a, b)[0], second=ordered(a, b)[1])
        found: Bools = u < los_probability(distance)
        return found

    def mean_gain(self, distance: Floats, a: Ints, b: Ints) -> Floats:
        check_distance(distance, a, b)
        own = self.config.urban
        loss = path_loss_db(distance, own.carrier, self.line_of_sight(distance, a, b))
        loss += shadowing(self.seed, own.shadowing_db, a, b)
        found: Floats = np.power(10.0, -np.maximum(loss, 0.0) / 10)  # received power never exceeds sent power
        return found


CHANNEL = Urban
