"""The factory of experts: equal ones exist once, and a mean is that of its weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federations import ADAPTER, LAYERS, RANK, announcement, dense
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.mask import vote
from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.sites import sizes
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Update


def factory(seed: int = 5) -> ExpertFactory:
    return ExpertFactory(LAYERS, ADAPTER, seed, weights=lambda: torch.linspace(-1, 1, 50))


def test_projections_are_made_once_in_the_factorys_type() -> None:
    made = ExpertFactory(LAYERS, ADAPTER, 0, torch.float64)
    recipe = Recipe(3, "orthogonal", 1, RANK)
    assert made.projections(recipe) is made.projections(Recipe(3, "orthogonal", 1, RANK))
    found = made.projections(recipe).of(LAYERS[0])
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, projection(recipe, LAYERS[0].site, LAYERS[0].inputs), rtol=1e-6)


def test_lora_starts_alike_on_all_devices_of_one_seed() -> None:
    assert torch.equal(factory().lora().values, factory().lora().values)
    assert not torch.equal(factory().lora().values, factory(6).lora().values)
    assert torch.equal(factory().lora().values, LoraExpert(LAYERS, RANK, 2.0, seed=5).values)
    assert factory().lora().scale == 4.0 / 2


def test_the_model_itself_is_read_once() -> None:
    made = factory()
    assert made.full() is made.full()
    assert made.full().values.tolist() == torch.linspace(-1, 1, 50).tolist()


def test_a_group_trains_the_mask_of_its_vote_and_one_alone_its_own() -> None:
    made, own, mate = factory(), announcement(0), announcement(2)
    alone = made.alone(own)
    assert [mask.tolist() for mask in alone.masks] == [mask.tolist() for mask in own.masks]
    assert not alone.values.any()
    assert alone.scale == ADAPTER.scale
    three = [own, announcement(1), mate]
    agreed = vote([(each.device, list(each.masks)) for each in three], sizes(LAYERS, RANK))
    assert [mask.tolist() for mask in agreed] != [mask.tolist() for mask in own.masks]
    for mask, expected in zip(made.group_expert(three).masks, agreed, strict=True):
        np.testing.assert_array_equal(mask, expected)
    assert made.group_expert([own, mate]) is made.group_expert([announcement(0), announcement(2)])
    assert made.alone(replace(own, masks=mate.masks)) is not alone


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.integers(0, 9))
def test_a_mean_is_weighted_by_rows(rows: list[int], seed: int) -> None:
    made, draw = factory(), np.random.default_rng(seed)
    shape = made.alone(announcement(0))
    values = draw.standard_normal((len(rows), shape.count)).astype(np.float32)
    updates = [Update(source, 1, torch.from_numpy(one)) for source, one in enumerate(values)]
    found = made.mean(shape, updates, dict(enumerate(rows)))
    np.testing.assert_allclose(found.values, np.average(values.astype(np.float64), axis=0, weights=rows), atol=1e-5)
    assert found.form == shape.form


def test_a_mean_is_of_what_arrived_in_fp32_and_kept_until_the_round_is_past() -> None:
    made = factory()
    shape = made.alone(announcement(0))
    values = torch.full((shape.count,), 1 / 3)
    arrived = [Update(0, 1, values.bfloat16()), Update(1, 1, values)]
    found = made.mean(shape, arrived, {0: 1, 1: 1})
    assert found.values.dtype == torch.float32
    assert float(found.values[0]) == pytest.approx((float(values.bfloat16()[0]) + 1 / 3) / 2, rel=1e-6)
    again = [Update(5, 7, values.bfloat16()), Update(6, 7, values.clone())]  # equal values, whoever sent them
    assert made.mean(shape, again, {5: 1, 6: 1}) is found
    assert made.mean(shape, again, {5: 1, 6: 2}) is not found
    made.release()
    renewed = made.mean(shape, arrived, {0: 1, 1: 1})
    assert renewed is not found
    assert torch.equal(renewed.values, found.values)


def test_positions_are_those_of_all_layers_end_to_end() -> None:
    made, own = factory(), announcement(1)
    assert made.positions(own).tolist() == dense(own.masks)
    assert made.positions(own) is made.positions(announcement(1))
    assert made.positions(announcement(2)).tolist() == dense(announcement(2).masks)
