"""Means over seeds: the standard deviation with n - 1, and Student's 95% interval, as there are few seeds.

The interval covers other seeds: here other training rows, masks and, for generated tasks, other questions. It does not
cover other tasks or other base models. With three seeds it reaches 4.30 standard errors, or 2.48 standard deviations,
to either side of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Spread:
    """What one value a seed says.

    Attributes:
        mean: of the values.
        sd: their standard deviation, with n - 1; nan for a single seed.
        low, high: ends of the 95% interval of the mean; nan for a single seed.
        count: n, how many seeds.
    """

    mean: float
    sd: float
    low: float
    high: float
    count: int

    def with_sd(self, form: str) -> str:
        """Return the mean ± the standard deviation, or the mean alone for a single seed."""
        return format(self.mean, form) + (f" ± {format(self.sd, form)}" if self.count > 1 else "")

    def with_interval(self, form: str) -> str:
        """Return the mean and its interval in brackets, or the mean alone for a single seed."""
        ends = f" [{format(self.low, form)}, {format(self.high, form)}]"
        return format(self.mean, form) + (ends if self.count > 1 else "")


def over_seeds(values: Sequence[float]) -> Spread:
    """Return the mean of one value a seed, with mean ± t(n - 1) sd / sqrt n."""
    from scipy.special import stdtrit  # not at the top: most of those who import this package need no scipy

    mean, count = fmean(values), len(values)
    if count < 2:
        return Spread(mean, math.nan, math.nan, math.nan, count)
    sd = stdev(values)
    half = float(stdtrit(count - 1, 0.975)) * sd / math.sqrt(count)
    return Spread(mean, sd, mean - half, mean + half, count)
