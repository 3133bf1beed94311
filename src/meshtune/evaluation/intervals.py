"""95% intervals of mean scores and of paired differences, over one exam or several.

Scores between 0 and 1 get Wilson's interval and their paired differences Bonett and Price's, because mean ± 1.96
standard errors has no width if all scores are equal, as for five wrong answers out of five. Both are intervals of the
questions asked plus a few imaginary ones. Over several exams of equal weight, the imaginary ones are split in
proportion to 1 / n. So no more are added in total than for one exam, and most go where the fewest questions were asked.
NLL has no bounds and keeps mean ± 1.96 standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

Z95 = NormalDist().inv_cdf(0.975)
EQUAL = 1e-9
"""Deviations up to this share of the largest value count as rounding."""


@dataclass(frozen=True)
class Sample:
    """Summary statistics of the scores of one exam.

    Attributes:
        mean: of the scores.
        squares: sum of squared deviations from the mean; nan if unknown.
        count: how many questions.
    """

    mean: float
    squares: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Return the sample of these scores, at least one."""
        mean = fmean(values)
        return cls(mean, math.fsum((value - mean) ** 2 for value in values), len(values))

    @classmethod
    def reported(cls, mean: float, stderr: float | None, count: int) -> Sample:
        """Return the sample behind a mean and its standard error, sd / sqrt n, or None if that is unknown."""
        return cls(mean, math.nan if stderr is None else stderr**2 * count * (count - 1), count)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval; both ends are nan if unknown."""

    value: float
    low: float
    high: float

    @property
    def stderr(self) -> float:
        """Half the interval's width over 1.96: the standard error of an NLL."""
        return (self.high - self.low) / (2 * Z95)


def bounded(metric: str) -> bool:
    """Return whether scores of ``metric`` lie between 0 and 1: all except NLL."""
    return not metric.endswith("nll")


def same_questions(samples: Sequence[Sample]) -> Sample:
    """Return the mean of several devices' scores of the same questions.

    Their errors do not average out. The standard error is the mean of the devices' own, which is exact if all answer
    alike and an upper bound otherwise.
    """
    error = fmean(math.sqrt(sample.squares / _pairs(sample.count)) for sample in samples)
    count = min(sample.count for sample in samples)
    return Sample(fmean(sample.mean for sample in samples), error**2 * _pairs(count), count)


def mean_over(samples: Sequence[Sample], metric: str) -> Estimate:
    """Return the unweighted mean over exams, with its 95% interval.

    In [0, 1], with k_t = z^2 (1 / n_t) / sum_s (1 / n_s) imaginary scores in exam t, half of them 0 and half 1: (1 / T)
    sum_t (n_t mean_t + k_t / 2) / (n_t + k_t) ± (z / T) sqrt(sum_t (SS_t + k_t / 4) / (n_t + k_t)^2). For one exam of
    right and wrong answers this is Wilson's score interval (J. Am. Stat. Assoc. 22, 1927). SS_t is at most n_t mean_t
    (1 - mean_t); scores in between have less, and a shorter interval.

    Otherwise mean ± z sqrt(sum_t SS_t / (n_t (n_t - 1))) / T; unknown if an exam has one question, or no spread.
    """
    value = fmean(sample.mean for sample in samples)
    if not bounded(metric) or not all(0 <= sample.mean <= 1 for sample in samples):  # a file may hold anything
        return _symmetric(value, samples)
    shares = _shares([sample.count for sample in samples], Z95**2)
    middle = variance = 0.0
    for sample, more in zip(samples, shares, strict=True):
        largest = sample.count * sample.mean * (1 - sample.mean)
        squares = largest if math.isnan(sample.squares) else min(sample.squares, largest)
        middle += (sample.count * sample.mean + more / 2) / (sample.count + more)
        variance += (squares + more / 4) / (sample.count + more) ** 2
    middle, half = middle / len(samples), Z95 * math.sqrt(variance) / len(samples)
    return Estimate(value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def mean_difference(gaps: Sequence[Sequence[float]], metric: str) -> Estimate:
    """Return the mean over exams of the means of paired differences, with its 95% interval.

    Args:
        gaps: per exam, first score minus second for every question that both answered; at least one.
        metric: the measure scored.

    For scores in [0, 1] there are two imaginary questions, of which each side wins one: for one exam of right and wrong
    answers the interval of Bonett and Price (J. Educ. Behav. Stat. 37, 2012). NLL as in :func:`mean_over`.
    """
    samples = [Sample.of(values) for values in gaps]
    value = fmean(sample.mean for sample in samples)
    if not bounded(metric):
        return _symmetric(value, samples)
    middle = variance = 0.0
    for sample, more in zip(samples, _shares([sample.count for sample in samples], 2.0), strict=True):
        count = sample.count + more
        centre = sample.count * sample.mean / count
        second = (sample.squares + sample.count * sample.mean**2 + more) / count
        middle += centre
        variance += (second - centre**2) / count
    middle, half = middle / len(samples), Z95 * math.sqrt(variance) / len(samples)
    return Estimate(value, max(-1.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def all_equal(gaps: Sequence[Sequence[float]]) -> bool:
    """Return whether every difference is the same, up to rounding."""
    values = [value for each in gaps for value in each]
    return max(values) - min(values) <= EQUAL * max(map(abs, values))


def _pairs(count: int) -> int:
    """Return n (n - 1), the divisor of squares for a squared standard error; 1 for a single question."""
    return count * max(count - 1, 1)


def _symmetric(value: float, samples: Sequence[Sample]) -> Estimate:
    variances = [s.squares / (s.count * (s.count - 1)) if s.count > 1 else math.nan for s in samples]
    error = math.sqrt(sum(variances)) / len(samples)
    scale = max(abs(sample.mean) for sample in samples)
    if not error > EQUAL * scale:
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, value - Z95 * error, value + Z95 * error)


def _shares(counts: Sequence[int], total: float) -> list[float]:
    whole = sum(1 / count for count in counts)
    return [total / count / whole for count in counts]
