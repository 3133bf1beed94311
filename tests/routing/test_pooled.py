"""The pooled covariance against dense algebra, and its inverse against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clouds import K, clouds, exact, pooled_covariance
from meshtune.errors import UserError
from meshtune.routing.pooled import pool
from meshtune.routing.statistics import summarise


def test_a_full_rank_sketch_is_the_exact_pooled_covariance() -> None:
    data = clouds()
    np.testing.assert_allclose(pool(exact(data)).covariance(), pooled_covariance(data), rtol=1e-9, atol=1e-9)


def test_a_small_sketch_keeps_the_diagonal_and_the_leading_space() -> None:
    data = clouds(groups=1)
    s = pooled_covariance(data)
    values, vectors = np.linalg.eigh(s)
    low = (vectors[:, -5:] * values[-5:]) @ vectors[:, -5:].T
    expected = low + np.diag(np.diag(s) - np.diag(low))
    found = pool({"t0": [summarise(data["t0"], 5)]}).covariance()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(st.integers(1, 30), st.floats(0, 1), st.integers(0, 100))
def test_woodbury_is_the_inverse(rank: int, shrinkage: float, seed: int) -> None:
    data = clouds(3, 8, seed)
    pooled = pool({group: [summarise(x, rank)] for group, x in data.items()})
    s = pooled.covariance() + 1e-3 * np.eye(K)
    loaded = type(pooled)(pooled.groups, pooled.means, pooled.rest + 1e-3, pooled.factors)
    shrunk = (1 - shrinkage) * s + shrinkage * np.diag(np.diag(s))
    v = np.random.default_rng(seed).standard_normal((4, K))
    np.testing.assert_allclose(loaded.shrunk_inverse(v, shrinkage) @ shrunk, v, rtol=1e-6, atol=1e-6)


def test_statistics_of_several_widths_or_of_nobody_cannot_be_pooled() -> None:
    with pytest.raises(UserError, match=r"^a router needs statistics of one width, it was given \[3, 4\]: one base"):
        pool({"a": [summarise(np.ones((2, 3)))], "b": [summarise(np.ones((2, 4)))]})
    for nobody in ({}, {"a": []}):
        with pytest.raises(UserError, match="it was given none: one base model"):
            pool(nobody)


def test_several_sources_of_a_group_are_merged_by_their_prompts() -> None:
    """Two thirds of the first group's prompts at one device, the others elsewhere: all as if at one."""
    data = clouds(3)
    parted = {g: [summarise(x[:9], K), summarise(x[9:], K)] for g, x in data.items()}
    found = pool(parted)
    np.testing.assert_allclose(found.covariance(), pooled_covariance(data), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.means, [x.mean(axis=0) for x in data.values()], rtol=1e-9)
    assert found.groups == tuple(sorted(data))


def test_a_feature_without_any_spread_has_an_inverse_all_the_same() -> None:
    """Of the diagonal 4, 0 the second entry is held at a millionth of the mean, 2."""
    x = np.array([[2.0, 1.0], [-2.0, 1.0]])
    found = pool({"a": [summarise(x)]}).shrunk_inverse(np.eye(2), 1.0)
    np.testing.assert_allclose(found, np.diag([1 / 4, 1 / 2e-6]), rtol=1e-9, atol=1e-9)
