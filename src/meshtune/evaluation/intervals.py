"""95% intervals of mean scores and of paired differences, over one exam or several.

Scores between 0 and 1 get Wilson's interval and their paired differences Bonett and Price's, because mean ± 1.96
standard errors has no width if all scores are equal, as for five wrong answers out of five. Both are intervals of the
questions asked plus a few imaginary ones. Over several exams of equal weight, the imaginary ones are split in
proportion to 1 / n. So no more are added in total than for one exam, and most go where the fewest questions were asked.
NLL has no bounds and keeps mean ± 1.96 standard errors.

All of these cover questions. Questions of one core (generated ones that differ only in names) are one cluster: their
deviations are added before they are squared, times G / (G - 1) for G cores. If every core is asked once, this changes
nothing. Means over seeds are in :mod:`meshtune.evaluation.over_seeds`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
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
        squares: n (n - 1) times the squared standard error, which is the sum of squared deviations from the mean if all
            cores differ; nan if unknown.
        count: n, how many questions.
        cores: how many different cores they have.
    """

    mean: float
    squares: float
    count: int
    cores: int

    @classmethod
    def of(cls, values: Sequence[float], cores: Sequence[Hashable] | None = None) -> Sample:
        """Return the sample of these scores, at least one; ``cores`` has each question's core, None if all differ."""
        mean, count = fmean(values), len(values)
        sums: dict[Hashable, list[float]] = {}
        for core, value in zip(range(count) if cores is None else cores, values, strict=True):
            sums.setdefault(core, []).append(value - mean)
        squares, different = math.fsum(math.fsum(parts) ** 2 for parts in sums.values()), len(sums)
        if different == count:
            return cls(mean, squares, count, count)
        factor = (count - 1) / count * different / (different - 1) if different > 1 else math.nan
        return cls(mean, factor * squares, count, different)

    @classmethod
    def reported(cls, mean: float, stderr: float | None, count: int, cores: int | None = None) -> Sample:
        """Return the sample behind a mean and its standard error, or None if that is unknown."""
        squares = math.nan if stderr is None else stderr**2 * count * (count - 1)
        return cls(mean, squares, count, count if cores is None else min(cores, count))

    @property
    def stderr(self) -> float | None:
        """The standard error of the mean, sd / sqrt n if all cores differ; None for a single core."""
        known = self.cores > 1 and not math.isnan(self.squares)
        return math.sqrt(self.squares / _pairs(self.count)) if known else None

    def independent(self, plain: float) -> tuple[float, float]:
        """Return how many questions of different cores would say as much, and their sum of squared deviations.

        Args:
            plain: the sum of squared deviations of these questions, or the largest that it can be.

        Without any deviation, or if the standard error is unknown, every core counts once.
        """
        if self.cores == self.count:
            return self.count, plain if math.isnan(self.squares) else min(self.squares, plain)
        if plain > 0 and self.squares <= plain:
            return self.count, self.squares
        share = plain / self.squares if plain > 0 and self.squares > plain else self.cores / self.count
        share = max(share, 1 / self.count)
        return self.count * share, plain * share


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
    count, cores = (min(counts) for counts in zip(*((one.count, one.cores) for one in samples), strict=True))
    return Sample(fmean(sample.mean for sample in samples), error**2 * _pairs(count), count, cores)


def mean_over(samples: Sequence[Sample], metric: str) -> Estimate:
    """Return the unweighted mean over exams, with its 95% interval.

    In [0, 1], with k_t = z^2 (1 / n_t) / sum_s (1 / n_s) imaginary scores in exam t, half of them 0 and half 1: (1 / T)
    sum_t (n_t mean_t + k_t / 2) / (n_t + k_t) ± (z / T) sqrt(sum_t (SS_t + k_t / 4) / (n_t + k_t)^2). For one exam of
    right and wrong answers this is Wilson's score interval (J. Am. Stat. Assoc. 22, 1927). SS_t is at most n_t mean_t
    (1 - mean_t); scores in between have less, and a shorter interval. If cores repeat, n_t is the number of questions
    of different cores that would have the same standard error (:meth:`Sample.independent`).

    Otherwise mean ± z sqrt(sum_t SS_t / (n_t (n_t - 1))) / T; unknown if an exam has one question, or no spread.
    """
    value = fmean(sample.mean for sample in samples)
    if not bounded(metric) or not all(0 <= sample.mean <= 1 for sample in samples):  # a file may hold anything
        return _symmetric(value, samples)
    asked = [sample.independent(sample.count * sample.mean * (1 - sample.mean)) for sample in samples]
    middle = variance = 0.0
    for sample, (count, squares), more in zip(samples, asked, _shares(asked, Z95**2), strict=True):
        middle += (count * sample.mean + more / 2) / (count + more)
        variance += (squares + more / 4) / (count + more) ** 2
    middle, half = middle / len(samples), Z95 * math.sqrt(variance) / len(samples)
    return Estimate(value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def mean_difference(
    gaps: Sequence[Sequence[float]], metric: str, cores: Sequence[Sequence[Hashable]] | None = None
) -> Estimate:
    """Return the mean over exams of the means of paired differences, with its 95% interval.

    Args:
        gaps: per exam, first score minus second for every question that both answered; at least one.
        metric: the measure scored.
        cores: per exam every question's core; None if all differ.

    For scores in [0, 1] there are two imaginary questions, of which each side wins one: for one exam of right and wrong
    answers the interval of Bonett and Price (J. Educ. Behav. Stat. 37, 2012). NLL as in :func:`mean_over`.
    """
    each = [None] * len(gaps) if cores is None else cores
    samples = [Sample.of(values, known) for values, known in zip(gaps, each, strict=True)]
    value = fmean(sample.mean for sample in samples)
    if not bounded(metric):
        return _symmetric(value, samples)
    asked = [sample.independent(Sample.of(values).squares) for sample, values in zip(samples, gaps, strict=True)]
    middle = variance = 0.0
    for sample, (some, squares), more in zip(samples, asked, _shares(asked, 2.0), strict=True):
        count = some + more
        centre = some * sample.mean / count
        second = (squares + some * sample.mean**2 + more) / count
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
    errors = [sample.stderr for sample in samples]
    error = math.sqrt(sum(math.nan if one is None else one**2 for one in errors)) / len(samples)
    scale = max(abs(sample.mean) for sample in samples)
    if not error > EQUAL * scale:
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, value - Z95 * error, value + Z95 * error)


def _shares(asked: Sequence[tuple[float, float]], total: float) -> list[float]:
    whole = sum(1 / count for count, _ in asked)
    return [total / count / whole for count, _ in asked]
