"""Means of experts with unlike masks, against dense matrices added up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, sizes
from meshtune.methods.group_means import alike, joined_mean, trained_mean
from meshtune.methods.state import Update

RANK = 2
LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 8, d, False) for i, d in enumerate((3, 5))]
PROJECTIONS = Projections(Recipe(0, "orthogonal", 1, RANK))
SIZES = sizes(LAYERS, RANK)


def expert(masks: list[list[int]]) -> SparseExpert:
    return SparseExpert(LAYERS, PROJECTIONS, [np.array(sorted(mask), dtype=np.int64) for mask in masks], 1.5)


MASKS = st.tuples(*(st.sets(st.integers(0, size - 1), max_size=size) for size in SIZES))


def drawn(masks: list[tuple[set[int], ...]], seed: int) -> tuple[list[SparseExpert], list[Update], list[float]]:
    draw = np.random.default_rng(seed)
    shapes = [expert([list(layer) for layer in mask]) for mask in masks]
    updates = [
        Update(i, 1, torch.from_numpy(draw.standard_normal(shape.count)).float()) for i, shape in enumerate(shapes)
    ]
    return shapes, updates, [float(weight) for weight in draw.integers(1, 9, len(masks))]


def b_of(shape: SparseExpert, update: Update, layer: int) -> np.ndarray:
    """Return the dense B (d r,) of one layer."""
    dense = np.zeros(SIZES[layer])
    start = sum(shape.counts[:layer])
    for at, place in enumerate(shape.masks[layer].tolist()):
        dense[place] = float(update.values[start + at])
    return dense


@given(st.lists(MASKS, min_size=1, max_size=4), st.integers(0, 99))
def test_the_joined_mean_is_the_mean_of_the_dense_matrices(masks: list[tuple[set[int], ...]], seed: int) -> None:
    shapes, updates, weights = drawn(masks, seed)
    found = joined_mean(shapes, updates, weights)
    assert (found.projections, found.scale) == (PROJECTIONS, 1.5)
    for layer in LAYERS:
        each = [b_of(shape, update, layer.index) for shape, update in zip(shapes, updates, strict=True)]
        expected = np.average(each, axis=0, weights=weights)
        b = found.pair(layer)[1]
        np.testing.assert_allclose(b.reshape(-1), expected, atol=1e-6)
        assert found.masks[layer.index].tolist() == sorted(set().union(*(mask[layer.index] for mask in masks)))


@given(st.lists(MASKS, min_size=1, max_size=4), st.integers(0, 99), st.randoms())
def test_a_device_goes_on_with_its_positions_averaged_over_who_trains_them(
    masks: list[tuple[set[int], ...]], seed: int, random: object
) -> None:
    shapes, updates, weights = drawn(masks, seed)
    own = random.randrange(len(masks))  # type: ignore[attr-defined]
    found = trained_mean(shapes, updates, weights, own)
    assert found.form == shapes[own].form
    expected = []
    for layer in range(2):
        for place in sorted(masks[own][layer]):
            users = [i for i, mask in enumerate(masks) if place in mask[layer]]
            values = [b_of(shapes[i], updates[i], layer)[place] for i in users]
            expected.append(np.average(values, weights=[weights[i] for i in users]))
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("others", "same"),
    [
        ([[[0, 4], [9]]], True),
        ([[[0, 4], [9]], [[0, 4], [9]]], True),
        ([[[0, 5], [9]]], False),
        ([[[0, 4], [9]], [[0, 4], [8]]], False),
        ([[[0], [4, 9]]], False),  # as many positions, but by layer
        ([[[0, 4], []]], False),
        ([], True),
    ],
)
def test_masks_are_alike_where_every_position_is(others: list[list[list[int]]], same: bool) -> None:
    first = expert([[0, 4], [9]])
    assert alike([first, *map(expert, others)]) == same
    assert alike([first, first])
