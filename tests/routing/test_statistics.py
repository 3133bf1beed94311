"""Task statistics against numpy, on the air and back, and what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clouds import K, clouds
from meshtune.errors import UserError
from meshtune.routing.statistics import Statistics, summarise


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 100))
def test_the_sketch_is_numpys_covariance(rows: int, rank: int, seed: int) -> None:
    """Its mean and diagonal are exact, its eigenvalues the largest, and each vector is an eigenvector of it."""
    x = np.random.default_rng(seed).standard_normal((rows, 6)) * np.geomspace(3, 0.1, 6) + 5
    found = summarise(x, rank)
    covariance = np.cov(x, rowvar=False, bias=True) if rows > 1 else np.zeros((6, 6))
    np.testing.assert_allclose(found.mean, np.mean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.diagonal, np.diag(covariance), rtol=1e-9, atol=1e-12)
    largest = np.linalg.eigvalsh(covariance)[::-1][: min(rank, rows, 6)]
    np.testing.assert_allclose(found.eigenvalues, largest, rtol=1e-8, atol=1e-12)
    vectors = found.eigenvectors
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(largest)), atol=1e-9)
    np.testing.assert_allclose(covariance @ vectors, vectors * found.eigenvalues, atol=1e-9)
    assert (found.count, found.embedding) == (rows, None)


def test_statistics_survive_the_air() -> None:
    made = summarise(clouds(1)["t0"], 6)
    back = Statistics.from_tensors(made.to_tensors(), made.count)
    for name in ("mean", "eigenvalues", "eigenvectors", "diagonal"):
        np.testing.assert_allclose(getattr(back, name), getattr(made, name), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "change", "why"),
    [
        (4, {"diagonal": np.zeros(3)}, f"task statistics of 4 prompts with shapes that do not fit width {K}"),
        (4, {"mean": np.zeros((K, 1))}, f"task statistics of 4 prompts with shapes that do not fit width {K}"),
        (4, {"eigenvectors": np.zeros((6, K))}, "shapes that do not fit"),
        (4, {"eigenvalues": np.zeros((6, 1))}, "shapes that do not fit"),
        (0, {}, "task statistics of 0 prompts"),
        (4, {"mean": np.full(K, np.nan)}, "task statistics are not finite"),
        (4, {"eigenvectors": np.full((K, 6), np.inf)}, "task statistics are not finite"),
        (4, {"eigenvalues": np.full(6, -1.0)}, "task statistics with a variance below 0"),
        (4, {"diagonal": np.full(K, -1e-9)}, "task statistics with a variance below 0"),
        (4, {"mean": None, "diagonal": None}, "task statistics without mean and diagonal: another version"),
    ],
)
def test_what_a_device_cannot_have_sent_is_refused(count: int, change: dict[str, Any], why: str) -> None:
    tensors = {**summarise(clouds(1)["t0"], 6).to_tensors(), **change}
    with pytest.raises(UserError, match=why):
        Statistics.from_tensors({name: value for name, value in tensors.items() if value is not None}, count)


def test_prompts_that_cannot_be_summarised_are_refused() -> None:
    with pytest.raises(UserError, match="at least one prompt"):
        summarise(np.zeros((0, 4)))
    with pytest.raises(UserError, match="not finite"):
        summarise(np.array([[1.0, np.nan]]))


def test_the_mean_embedding_survives_the_air_and_is_sent_only_where_it_is_asked_for() -> None:
    x = clouds(1)["t0"]
    made = summarise(np.zeros_like(x), 2, x)
    assert made.embedding is not None
    tensors = made.to_tensors()
    back = Statistics.from_tensors(tensors, made.count)
    assert back.embedding is not None
    np.testing.assert_allclose(back.embedding, x.mean(axis=0), rtol=1e-6)
    with pytest.raises(UserError, match="do not fit"):
        Statistics.from_tensors({**tensors, "embedding": np.zeros(3, dtype=np.float32)}, 4)
    plain = summarise(x, 2)
    assert "embedding" not in plain.to_tensors()
    assert Statistics.from_tensors(plain.to_tensors(), plain.count).embedding is None
