"""Experts: what their flat values stand for, against matrices filled entry by entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert, scatter
from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.sites import describe

LAYERS = [
    describe(0, "model.layers.0.self_attn.q_proj", 8, 5, False),
    describe(1, "model.layers.0.mlp.down_proj", 12, 4, False),
]
RANK = 2
RECIPE = Recipe(seed=3, kind="orthogonal", block=1, rank=RANK)
MASKS = [np.array([0, 3, 9]), np.array([2, 5])]


def sparse(values: list[float] | None = None, recipe: Recipe = RECIPE, scale: float = 1.5, masks: Any = MASKS) -> Any:
    given = None if values is None else torch.tensor(values)
    return SparseExpert(LAYERS, Projections(recipe), masks, scale, given)


def test_projections_are_those_of_the_recipe_made_once_a_site() -> None:
    made = Projections(RECIPE, torch.float64)
    again = describe(7, "model.layers.5.self_attn.v_proj", 8, 99, False)  # of the same site and width
    assert made.of(LAYERS[0]) is made.of(again)
    for layer, site in zip(LAYERS, ("attn_in", "mlp_out"), strict=True):
        assert made.of(layer).dtype == torch.float64
        np.testing.assert_allclose(made.of(layer), projection(RECIPE, site, layer.inputs), rtol=1e-6)


def test_a_sparse_b_holds_its_values_at_row_times_rank_plus_column() -> None:
    """Position 3 of rank 2 is row 1, column 1; the second layer's values follow the first's."""
    expert = sparse([1.0, 2.0, 3.0, 4.0, 5.0])
    first, second = np.zeros((5, 2)), np.zeros((4, 2))
    first[0, 0], first[1, 1], first[4, 1] = 1.0, 2.0, 3.0
    second[1, 0], second[2, 1] = 4.0, 5.0
    for layer, b in zip(LAYERS, (first, second), strict=True):
        a = projection(RECIPE, layer.site, layer.inputs)
        np.testing.assert_array_equal(expert.pair(layer)[1], b)
        np.testing.assert_allclose(expert.delta(layer), 1.5 * b @ a, rtol=1e-5, atol=1e-6)
        wide = np.zeros(b.size)
        start = 3 * layer.index
        wide[expert.places[layer.index]] = expert.values[start : start + expert.counts[layer.index]]
        np.testing.assert_array_equal(wide.reshape(2, -1).T, b)  # places are those of B transposed


def test_training_starts_at_zero_and_other_values_share_what_they_stand_behind() -> None:
    expert = sparse()
    assert expert.count == 5
    assert not expert.values.any()
    other = expert.with_values(torch.arange(5.0))
    assert other.projections is expert.projections
    assert other.places is expert.places
    assert torch.equal(other.masks[1], expert.masks[1])
    assert not expert.values.any()


def test_equal_forms_mean_the_same_by_equal_values() -> None:
    forms = [
        sparse(),
        sparse(recipe=Recipe(3, "orthogonal", 2, RANK)),
        sparse(scale=1.0),
        sparse(masks=[MASKS[0], np.array([2, 6])]),
        LoraExpert(LAYERS, RANK, 1.5),
        LoraExpert(LAYERS, RANK + 1, 1.5),
    ]
    assert len({expert.form for expert in forms}) == len(forms)
    assert sparse([9.0] * 5).form == sparse().form == sparse().with_values(torch.ones(5)).form


def test_equal_digests_answer_equally() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert sparse(values).digest == sparse().with_values(torch.tensor(values)).digest
    assert sparse(values).digest != sparse([*values[:4], 5.0000005]).digest
    assert sparse(values).digest != sparse(values, scale=1.0).digest


def test_lora_holds_a_then_b_of_every_layer() -> None:
    values = torch.arange(float(2 * (8 + 5) + 2 * (12 + 4)))
    expert = LoraExpert(LAYERS, RANK, 0.5).with_values(values)
    assert expert.count == 58
    a, b = expert.pair(LAYERS[0])
    assert a.tolist() == torch.arange(16.0).view(2, 8).tolist()
    assert b.tolist() == torch.arange(16.0, 26.0).view(5, 2).tolist()
    a, b = expert.pair(LAYERS[1])
    assert (float(a[0, 0]), float(b[0, 0]), float(b[3, 1])) == (26.0, 50.0, 57.0)
    np.testing.assert_allclose(expert.delta(LAYERS[1]), 0.5 * b.numpy() @ a.numpy())
    expert.split(values)[1][1].zero_()  # views: what is changed in them is changed in the flat vector
    assert float(values[50:].abs().sum()) == 0


def test_lora_starts_as_peft_does() -> None:
    """B = 0; A is uniform in +-1/sqrt(k): kaiming_uniform_ with a = sqrt(5), whose variance is 1/(3 k)."""
    wide = [describe(0, "model.layers.0.mlp.down_proj", 400, 3, False)]
    expert = LoraExpert(wide, 50, 1.0, seed=4)
    a, b = expert.pair(wide[0])
    assert not b.any()
    assert float(a.abs().max()) <= 1 / 20
    assert float(a.abs().max()) > 0.99 / 20
    assert float(a.var()) == pytest.approx(1 / 1200, rel=0.05)
    assert torch.equal(expert.values, LoraExpert(wide, 50, 1.0, seed=4).values)
    assert not torch.equal(expert.values, LoraExpert(wide, 50, 1.0, seed=5).values)


def test_lora_draws_every_layer_for_itself() -> None:
    twins = [describe(i, f"model.layers.{i}.self_attn.q_proj", 8, 5, False) for i in range(2)]
    (first, b), (second, also_b) = LoraExpert(twins, RANK, 1.0).split(LoraExpert(twins, RANK, 1.0).values)
    assert not torch.equal(first, second)
    assert first.all()
    assert second.all()
    assert not b.any()
    assert not also_b.any()


def test_scatter_fills_a_matrix_row_by_row() -> None:
    found = scatter(torch.tensor([5, 0]), torch.tensor([7.0, 8.0]), outputs=3, rank=2)
    assert found.tolist() == [[8.0, 0.0], [0.0, 0.0], [0.0, 7.0]]


def test_a_kind_says_how_it_is_made() -> None:
    bare = Expert(LAYERS, RANK, 1.0, torch.zeros(2))
    for asked in (lambda: bare.with_values(torch.ones(2)), lambda: bare.pair(LAYERS[0]), lambda: bare.form):
        with pytest.raises(NotImplementedError):
            asked()
