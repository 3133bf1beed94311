"""Projections: orthogonal to fp32, as coherent as the closed form says, the same everywhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import idct

from meshtune.adapter.blocks import assign_blocks, capacity
from meshtune.adapter.projection import Fingerprint, Recipe, coherence, fingerprint, projection
from meshtune.errors import MalformedError, UserError

WIDTHS = (64, 576, 896, 1536, 4096, 18944)
RECORDED_ORTHOGONAL = [-0.15790124, -0.030222077, 0.12189470, -0.17544726]
RECORDED_GAUSSIAN = [0.082517229, 0.16325915, 0.21000753, -0.093695640]


def orthogonal(block: int, rank: int = 16, seed: int = 0) -> Recipe:
    return Recipe(seed=seed, kind="orthogonal", block=block, rank=rank)


@pytest.mark.parametrize("k", WIDTHS)
def test_blocks_are_orthonormal_and_do_not_meet(k: int) -> None:
    """A A^T = I and A_i A_j^T = 0 to 1e-5, first and last block included."""
    last = k // 16 - 1
    mine = {block: projection(orthogonal(block), "mlp_out", k).astype(np.float64) for block in {0, 1, last}}
    for block, a in mine.items():
        assert a.shape == (16, k)
        np.testing.assert_allclose(a @ a.T, np.eye(16), atol=1e-5)
        for other, b in mine.items():
            if other != block:
                np.testing.assert_allclose(a @ b.T, 0.0, atol=1e-5)


@pytest.mark.parametrize("k", [7, 64, 100])
def test_all_blocks_together_are_scipys_cosine_transform(k: int) -> None:
    """The whole matrix is the orthonormal DCT of scipy with rows permuted and columns signed."""
    whole = projection(orthogonal(0, rank=k), "attn_in", k).astype(np.float64)
    np.testing.assert_allclose(whole @ whole.T, np.eye(k), atol=1e-5)
    transform = idct(np.eye(k), norm="ortho", axis=1)  # rows: basis vectors of the DCT
    unsigned = np.abs(whole)
    order = [int(np.abs(unsigned - np.abs(row)).max(axis=1).argmin()) for row in transform]
    np.testing.assert_allclose(unsigned[order], np.abs(transform), atol=1e-6)


@pytest.mark.parametrize("k", [64, 576, 4096])
def test_gaussian_coherence_is_the_closed_form(k: int) -> None:
    """|A_i A_j^T|_F / |A_i A_i^T|_F = sqrt(r / (k + r + 1)) within 5%, over pairs of 12 devices, r = 32."""
    made = [projection(Recipe(3, "gaussian", block, 32), "attn_in", k) for block in range(12)]
    found = np.mean([coherence(a, b) ** 2 for a in made for b in made if a is not b]) ** 0.5
    assert found == pytest.approx(math.sqrt(32 / (k + 33)), rel=0.05)


def test_gaussian_entries_are_normal() -> None:
    a = projection(Recipe(0, "gaussian", 0, 16), "mlp_in", 4096).ravel() * 64
    assert abs(a.mean()) < 0.02
    assert a.std() == pytest.approx(1, abs=0.02)
    assert float((a**4).mean()) == pytest.approx(3, abs=0.2)


def test_recorded_values() -> None:
    """What generator 1 makes must never change: a device of tomorrow has to regenerate the A of today."""
    a = projection(orthogonal(2, rank=4, seed=11), "attn_in", 64)
    g = projection(Recipe(11, "gaussian", 2, 4), "attn_in", 64)
    np.testing.assert_allclose(a[0, :4], RECORDED_ORTHOGONAL, rtol=1e-6)
    np.testing.assert_allclose(g[0, :4], RECORDED_GAUSSIAN, rtol=1e-6)


@pytest.mark.parametrize("change", [{"seed": 1}, {"block": 1}, {"kind": "gaussian"}])
def test_everything_in_the_recipe_counts(change: dict[str, object]) -> None:
    recipe = orthogonal(0)
    widths = {"attn_in": 64, "mlp_out": 128}
    assert not fingerprint(recipe, widths).matches(fingerprint(replace(recipe, **change), widths))
    assert not np.allclose(projection(recipe, "attn_in", 64), projection(replace(recipe, **change), "attn_in", 64))
    assert not np.allclose(projection(recipe, "attn_in", 64), projection(recipe, "attn_out", 64))


def test_a_fingerprint_survives_the_air_and_last_bits() -> None:
    mark = fingerprint(orthogonal(0), {"attn_in": 576, "mlp_out": 1536})
    again = Fingerprint.from_json(mark.to_json(), orthogonal(0).rank)
    assert mark.matches(again)
    assert again.matches(Fingerprint(mark.integers, tuple(p * (1 + 1e-6) for p in mark.probes)))
    assert not mark.matches(Fingerprint(mark.integers, (mark.probes[0] + 0.01, *mark.probes[1:])))
    assert not mark.matches(Fingerprint(mark.integers, mark.probes[:-1]))


def test_a_block_outside_the_rows_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"lower adapter\.rank or set adapter\.projection=gaussian"):
        projection(orthogonal(4), "attn_in", 64)
    with pytest.raises(UserError, match="not known"):
        projection(Recipe(0, "fourier", 0, 4), "attn_in", 64)
    with pytest.raises(UserError, match="generator 2"):
        projection(Recipe(0, "orthogonal", 0, 4, generator=2), "attn_in", 64)


def test_blocks_follow_the_sorted_keys() -> None:
    assert assign_blocks(["piqa", "boolq", "piqa", "arc_easy"]) == {"arc_easy": 0, "boolq": 1, "piqa": 2}
    assert capacity([576, 1536], 16) == 36
    with pytest.raises(UserError, match="3 task groups do not fit into 2 blocks"):
        assign_blocks("abc", room=2)


def test_a_recipe_is_told_in_five_values() -> None:
    told = Recipe(7, "gaussian", 2, 6)
    assert told.to_json() == [7, "gaussian", 2, 6, 1]
    assert Recipe.from_json(told.to_json()) == told
    for data in ([7, "gaussian", 2, 6], [7, "gaussian", 2, 6, 1, 2], [], None, {}, "7"):
        with pytest.raises(MalformedError, match="expected seed, kind, block, rank and generator"):
            Recipe.from_json(data)
