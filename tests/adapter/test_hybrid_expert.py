"""A LoRA pair beside a sparse expert: one update, against matrices filled entry by entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.hybrid_expert import HybridExpert, common_count, fresh_common, largest_changes
from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.route import Bank, Segments
from meshtune.adapter.sites import LayerSpec, describe

LAYERS = [
    describe(0, "model.layers.0.self_attn.q_proj", 8, 5, False),
    describe(1, "model.layers.0.mlp.down_proj", 12, 4, False),
]
OWN, ROWS, SCALE = 2, 3, 1.5
RECIPE = Recipe(seed=3, kind="orthogonal", block=1, rank=OWN)
MASKS = [np.array([0, 3, 9]), np.array([2, 5])]
COMMON = ROWS * (8 + 12 + 5 + 4)
COUNT = COMMON + 5


def own(
    recipe: Recipe = RECIPE, scale: float = SCALE, masks: Any = MASKS, dtype: torch.dtype = torch.float32
) -> SparseExpert:
    return SparseExpert(LAYERS, Projections(recipe, dtype), masks, scale)


def hybrid(values: Tensor | None = None, beside: SparseExpert | None = None, density: float = 0.1) -> HybridExpert:
    given = torch.from_numpy(np.random.default_rng(0).standard_normal(COUNT)).float() if values is None else values
    return HybridExpert(beside or own(), ROWS, density, given)


def matrices(values: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return A_0 (c, k), B_0 (d, c) and B_g (d, r - c) of every layer, from all of A_0, then B_0, then the own part."""
    at, found = 0, []
    shapes = [(ROWS, layer.inputs) for layer in LAYERS] + [(layer.outputs, ROWS) for layer in LAYERS]
    for rows, columns in shapes:
        found.append(values[at : at + rows * columns].view(rows, columns))
        at += rows * columns
    for layer, mask in zip(LAYERS, MASKS, strict=True):
        dense = [values.new_zeros(()) for _ in range(layer.outputs * OWN)]
        for position in mask:
            dense[position] = values[at]
            at += 1
        found.append(torch.stack(dense).view(layer.outputs, OWN))
    assert at == COUNT
    return list(zip(found[:2], found[2:4], found[4:], strict=True))


def update(values: Tensor, layer: LayerSpec) -> Tensor:
    """Return scale * (B_0 A_0 + (B_g o M_g) A_g) of ``layer``."""
    a, b, mine = matrices(values)[layer.index]
    frozen = torch.from_numpy(projection(RECIPE, layer.site, layer.inputs)).to(values.dtype)
    return SCALE * (b @ a + mine @ frozen)


def test_its_update_is_the_lora_pair_and_the_sparse_expert_added_up() -> None:
    expert = hybrid()
    for layer in LAYERS:
        expected = update(expert.values.double(), layer)
        torch.testing.assert_close(expert.delta(layer).double(), expected, rtol=0, atol=1e-5)
        a, b = expert.pair(layer)
        assert a.shape == (OWN + ROWS, layer.inputs)
        assert b.shape == (layer.outputs, OWN + ROWS)
        for found, parts in zip((a, b), expert.split(expert.values)[layer.index], strict=True):
            assert torch.equal(found, parts)
    assert (expert.rank, expert.scale, expert.count) == (OWN + ROWS, SCALE, COUNT)


def test_its_parts_are_those_of_experts_of_their_own() -> None:
    """LoRA of rank c and the sparse expert, both of scale alpha / r."""
    values = hybrid().values
    mine = own().with_values(values[COMMON:])
    lora = LoraExpert(LAYERS, ROWS, SCALE)
    flat = torch.cat([part.reshape(-1) for a, b, _ in matrices(values) for part in (a, b)])
    for layer in LAYERS:
        expected = lora.with_values(flat).delta(layer) + mine.delta(layer)
        torch.testing.assert_close(hybrid().delta(layer), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bank", [False, True])
def test_a_layer_computes_with_its_update(bank: bool) -> None:
    expert = hybrid()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 6, 8))).float()
    y = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 6, 5))).float()
    other = hybrid(torch.zeros(COUNT))
    found = Bank([other, expert]).route(torch.tensor([[0.25, 0.75]] * 2)) if bank else Segments([(expert, 2)])
    expected = y + (0.75 if bank else 1.0) * (x @ update(expert.values, LAYERS[0]).T)
    torch.testing.assert_close(found.apply(LAYERS[0], x, y), expected, rtol=0, atol=1e-5)


def test_gradients_are_those_of_the_formula() -> None:
    """Of a loss that every entry of every layer's output enters, by autograd through the dense matrices."""
    draw = np.random.default_rng(3)
    inputs = [torch.from_numpy(draw.standard_normal((1, 7, layer.inputs))) for layer in LAYERS]
    targets = [torch.from_numpy(draw.standard_normal((1, 7, layer.outputs))) for layer in LAYERS]
    expert = hybrid(hybrid().values.double(), own(dtype=torch.float64))
    leaf = expert.values.clone().requires_grad_()
    loss = sum(
        ((x @ update(leaf, layer).T - y) ** 2).sum() for layer, x, y in zip(LAYERS, inputs, targets, strict=True)
    )
    assert isinstance(loss, Tensor)
    loss.backward()
    expert.values.requires_grad_()
    route = Segments([(expert, 1)], trainable=True)
    routed = sum((route.apply(layer, x, -y) ** 2).sum() for layer, x, y in zip(LAYERS, inputs, targets, strict=True))
    assert isinstance(routed, Tensor)
    routed.backward()
    assert leaf.grad is not None
    assert bool(leaf.grad.all())
    torch.testing.assert_close(expert.values.grad, leaf.grad, rtol=1e-9, atol=1e-12)


def test_gradients_are_finite_differences() -> None:
    expert = hybrid(hybrid().values.double(), own(dtype=torch.float64))

    def outputs(values: Tensor) -> Tensor:
        return torch.cat([(b @ a).reshape(-1) for a, b in expert.split(values)])

    assert torch.autograd.gradcheck(outputs, (expert.values.requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_its_matrices_are_of_the_type_of_its_projections(dtype: torch.dtype) -> None:
    expert = hybrid(beside=own(dtype=dtype))
    for layer in LAYERS:
        assert [part.dtype for part in expert.pair(layer)] == [dtype, dtype]
        expected = update(expert.values.double(), layer)
        torch.testing.assert_close(expert.delta(layer).double(), expected, rtol=0.05, atol=0.1)


def test_its_parts_cover_the_values_own_rate_first() -> None:
    expert = hybrid()
    assert [range(COUNT)[part] for part in expert.parts] == [range(COMMON, COUNT), range(COMMON)]
    assert expert.summed == expert.parts[1]
    assert expert.turns == (slice(None),)


def test_other_values_share_what_they_stand_behind() -> None:
    expert = hybrid(density=0.3)
    other = expert.with_values(torch.arange(float(COUNT)))
    assert isinstance(other, HybridExpert)
    assert other.own is expert.own
    assert (other.rows, other.density, other.largest, other.form) == (ROWS, 0.3, expert.largest, expert.form)
    assert (other.parts, other.summed) == (expert.parts, expert.summed)
    trained = expert.taught(expert.trainee(4))
    assert trained.digest == expert.digest
    assert trained.values is not expert.values
    made = HybridExpert.beside(own().with_values(expert.values[COMMON:]), expert.values[:COMMON], ROWS, 0.3)
    assert torch.equal(made.values, expert.values)
    assert made.digest == expert.digest


def test_equal_forms_mean_the_same_by_equal_values() -> None:
    narrow = SparseExpert(LAYERS, Projections(Recipe(3, "orthogonal", 1, 1)), [m % 4 for m in MASKS], SCALE)
    forms: list[Expert] = [
        hybrid(),
        hybrid(beside=own(Recipe(3, "orthogonal", 2, OWN))),
        hybrid(beside=own(scale=1.0)),
        hybrid(beside=own(masks=[MASKS[0], np.array([2, 6])])),
        HybridExpert(own(), 2, 0.1, torch.zeros(2 * COMMON // 3 + 5)),
        HybridExpert(narrow, 4, 0.1, torch.zeros(4 * COMMON // 3 + 5)),
        own(),
        LoraExpert(LAYERS, OWN + ROWS, SCALE),
    ]
    assert len({expert.form for expert in forms}) == len(forms)
    assert hybrid(density=0.9).form == hybrid().form == hybrid(torch.ones(COUNT)).form


def test_equal_digests_answer_equally() -> None:
    values = hybrid().values
    assert hybrid(values.clone()).digest == hybrid().digest
    for place in (0, COMMON - 1, COMMON, COUNT - 1):
        moved = values.clone()
        moved[place] += 1e-6
        assert hybrid(moved).digest != hybrid().digest
    assert hybrid(beside=own(scale=1.0)).digest != hybrid().digest


@pytest.mark.parametrize("seed", [0, 5])
def test_the_common_part_starts_as_lora_does_rounded_the_same_everywhere(seed: int) -> None:
    values = fresh_common(LAYERS, ROWS, seed)
    assert values.dtype == torch.float32
    assert torch.equal(values, values.bfloat16().float())
    assert torch.equal(values, fresh_common(LAYERS, ROWS, seed))
    assert not torch.equal(values, fresh_common(LAYERS, ROWS, seed + 1))
    lora = LoraExpert(LAYERS, ROWS, 99.0, seed=seed)
    expert = HybridExpert.beside(own(), values, ROWS, 0.1)
    for layer, (a, b) in zip(LAYERS, lora.split(lora.values), strict=True):
        mine, behind = expert.pair(layer)
        assert torch.equal(mine[OWN:], a.bfloat16().float())
        assert not b.any()
        assert not behind.any()
        assert not expert.delta(layer).any()


@given(
    rows=st.integers(1, 9), widths=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4)
)
def test_the_common_part_has_a_and_b_of_every_layer(rows: int, widths: list[tuple[int, int]]) -> None:
    layers = [describe(i, f"model.layers.{i}.mlp.up_proj", k, d, False) for i, (k, d) in enumerate(widths)]
    assert common_count(layers, rows) == LoraExpert(layers, rows, 1.0).count == fresh_common(layers, rows, 0).numel()


@given(count=st.integers(1, 10**7), density=st.floats(1e-3, 1.0))
def test_a_share_of_the_common_part_is_sent_and_at_least_one_value(count: int, density: float) -> None:
    found = largest_changes(count, density)
    assert 1 <= found <= count
    assert abs(found - density * count) <= 0.5 or found == 1
    assert largest_changes(count, 1.0) == count


@pytest.mark.parametrize(("density", "largest"), [(0.1, 9), (0.5, 44), (1.0, 87), (0.001, 1)])
def test_it_sends_its_own_part_and_the_largest_changes_of_the_common_one(density: float, largest: int) -> None:
    """Of 3 x 29 = 87 values; all 5 of the own part."""
    expert = hybrid(density=density)
    assert expert.largest == largest
    assert [expert.sent(version) for version in (1, 2, 9)] == [largest + 5] * 3
    assert expert.most == largest + 5
