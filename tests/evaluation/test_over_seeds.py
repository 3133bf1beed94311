"""Means over seeds: against scipy, and against the table of Student's t."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from meshtune.evaluation.over_seeds import over_seeds


@pytest.mark.parametrize("values", [[0.2, 0.5], [0.861, 0.874, 0.863], [3.0, -1.0, 4.0, 1.0, -5.0, 9.0]])
def test_the_interval_is_scipys(values: list[float]) -> None:
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (found.low, found.high, found.count) == pytest.approx((low, high, len(values)))


@pytest.mark.parametrize("count, quantile", [(2, 12.706), (3, 4.303), (4, 3.182), (6, 2.571), (11, 2.228)])
def test_quantiles_are_those_of_the_table(count: int, quantile: float) -> None:
    values = [float(n) for n in range(count)]
    found = over_seeds(values)
    assert (found.high - found.mean) / (found.sd / math.sqrt(count)) == pytest.approx(quantile, abs=5e-4)


def test_three_draws_of_a_normal_hold_the_mean_in_nineteen_of_twenty() -> None:
    """With n in place of n - 1 and 1.96 for t they would in three of four."""
    drawn = np.random.default_rng(0).normal(size=(2000, 3)).tolist()
    held = [found.low <= 0 <= found.high for found in map(over_seeds, drawn)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_a_single_seed_has_neither_spread_nor_interval() -> None:
    one, three = over_seeds([0.5]), over_seeds([1.0, 2.0, 3.0])
    assert math.isnan(one.sd)
    assert (one.with_sd(".2f"), one.with_interval("+.2f")) == ("0.50", "+0.50")
    assert (three.with_sd(".2f"), three.with_interval("+.2f")) == ("2.00 ± 1.00", "+2.00 [-0.48, +4.48]")
