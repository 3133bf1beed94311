"""Power in ticks: integers, so that sums do not depend on their order.

A device splits its band over its u neighbours and needs p = factor(u) / h for each (Lemma 1: the least power that
meets the delay bound), in total at most its own limit. 2^40 ticks are what the strongest device can spend on a single
neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshtune.errors import UserError

FULL = 1 << 40
NEVER = FULL << 10
"""Ticks of a link that costs a thousand times what any device has, or more."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Power in ticks.

    Attributes:
        strongest: the highest power limit of all devices, in watts.
        factor: W that a device with u neighbours needs per unit of summed 1/h: (N0 W/u)(2^(bits u/(W Gamma)) - 1).
    """

    strongest: float
    factor: Callable[[int], float]
    _ratios: dict[int, float] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strongest) and self.strongest > 0):
            raise UserError(f"a power limit of {self.strongest:g} W is not positive: give a positive one")
        self.ratio(1)

    def ratio(self, u: int) -> float:
        """Return factor(u) / factor(1), at least 1; infinite if no power suffices.

        Raises:
            UserError: the factor is not positive, or falls as neighbours are added.
        """
        if u not in self._ratios:
            first, before, now = (self._factor(n) for n in (1, max(1, u - 1), u))
            if not first > 0 or not now >= before:
                raise UserError(
                    f"a device with {u} neighbours needs {now:g} W per unit of loss, with one {first:g}: give a "
                    "payload, a bandwidth and a delay bound above 0"
                )
            self._ratios[u] = now / first if math.isfinite(now) else math.inf
        return self._ratios[u]

    def _factor(self, u: int) -> float:
        try:
            return float(self.factor(u))
        except OverflowError:  # 2^(bits u/(W Gamma)) exceeds floats: no power suffices
            return math.inf

    def ticks(self, inverse_gain: ArrayLike) -> NDArray[np.int64]:
        """Return the cost of links with 1/h ``inverse_gain`` in ticks, rounded up, at most NEVER."""
        share = np.asarray(inverse_gain, dtype=np.float64) * (self._factor(1) / self.strongest)
        return np.asarray(np.ceil(np.minimum(share, NEVER / FULL) * FULL).clip(1, NEVER), dtype=np.int64)

    def cap(self, power: float, u: int) -> int:
        """Return the ticks that a device with ``power`` watts can spend on ``u`` neighbours in total."""
        return math.floor(power / self.strongest / self.ratio(u) * FULL)

    def watts(self, ticks: int, u: int) -> float:
        """Return the power of a device that spends ``ticks`` on ``u`` neighbours; infinite if none suffices."""
        return ticks / FULL * self.strongest * self.ratio(u) if u else 0.0
