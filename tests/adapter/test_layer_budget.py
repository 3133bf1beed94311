"""Budgets that spend exactly what they have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.layer_budget import layer_counts, water_fill
from meshtune.errors import UserError

LAYERS = st.lists(st.tuples(st.integers(1, 400), st.floats(0, 9, allow_subnormal=False)), min_size=1, max_size=12)


@given(LAYERS, st.floats(0.001, 1), st.sampled_from(["entropy", "uniform", "size_weighted"]), st.floats(0.2, 5))
def test_budgets_spend_exactly_what_they_have(
    layers: list[tuple[int, float]], density: float, kind: str, temperature: float
) -> None:
    sizes, entropies = [size for size, _ in layers], [h for _, h in layers]
    counts = layer_counts(entropies, sizes, density, kind, temperature)
    assert sum(counts) == max(1, round(density * sum(sizes)))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))


@given(LAYERS, st.integers(0, 3000))
def test_water_filling_is_proportional_below_the_rim(layers: list[tuple[int, float]], total: int) -> None:
    """Layers that are not full hold their share of what the full ones left, to one position."""
    sizes, shares = [size for size, _ in layers], [share for _, share in layers]
    counts = water_fill(shares, sizes, total)
    assert sum(counts) == min(total, sum(sizes))
    below = [i for i, count in enumerate(counts) if count < sizes[i] and shares[i] > 0]
    if len(below) > 1:
        exact = [Fraction(share) for share in shares]  # tiny shares would overflow the level
        level = sum(counts[i] for i in below) / sum(exact[i] for i in below)
        assert all(abs(counts[i] - level * exact[i]) <= len(below) for i in below)
    if total >= sum(sizes):
        assert counts == sizes


def test_a_budget_by_hand() -> None:
    """100 to be shared 1:1:2; the third is full at 20, the others take 40 each."""
    assert water_fill([1, 1, 2], [60, 60, 20], 100) == [40, 40, 20]
    assert water_fill([1, 1, 1], [10, 10, 10], 7) == [3, 2, 2]
    assert water_fill([0, 0, 1], [10, 10, 4], 10) == [3, 3, 4]


def test_shares_are_the_softmax_of_entropies() -> None:
    counts = layer_counts([1.0, 2.0, 3.0], [10**6] * 3, 0.1)
    expected = np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum() * 300_000
    np.testing.assert_allclose(counts, expected, atol=1)


@pytest.mark.parametrize("density", [0.0, -0.1, 1.01])
def test_a_density_outside_its_range_is_refused(density: float) -> None:
    with pytest.raises(UserError, match=r"outside \(0, 1\]"):
        layer_counts(None, [10], density, "uniform")


def test_an_unknown_budget_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="choose from entropy, uniform, size_weighted"):
        layer_counts([1.0], [10], 0.5, "random")
