"""One pass over the rows of several experts: losses and gradients against merged weights, row by row."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architectures import tiny
from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.micro_batch import micro_batch, micro_batches
from meshtune.model.probes.probed_base import open_base

RANK = 2


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base(tiny("llama").double(), None, "llama")


def experts(base: Base) -> list[Expert]:
    layers = base.adapters.layers
    masks = [np.arange(0, size, 5) for size in sizes(layers, RANK)]
    sparse = SparseExpert(layers, Projections(Recipe(1, "gaussian", 0, RANK), torch.float64), masks, 2.0)
    made: list[Expert] = [sparse, LoraExpert(layers, RANK, 0.5)]
    draw = torch.Generator().manual_seed(0)
    return [one.with_values(torch.randn(one.count, generator=draw).double() * 0.1) for one in made]


ROWS = [
    [Row((5, 9, 3, 8, 7, 7, 2), 4), Row((4, 4, 1), 2), Row((9, 8, 7, 6, 5), 1)],
    [Row((1, 2, 3, 4, 5, 6), 5), Row((6, 6, 6, 1, 2, 3, 9, 9), 3)],
]


def delta(base: Base, expert: Expert, values: Tensor, index: int) -> Tensor:
    """Return scale B A of one layer, differentiable in ``values``."""
    layer = base.adapters.layers[index]
    if isinstance(expert, LoraExpert):
        a, b = expert.split(values)[index]
        return expert.scale * (b @ a)
    assert isinstance(expert, SparseExpert)
    part = values.split(expert.counts)[index]
    b = torch.zeros(layer.outputs * RANK, dtype=values.dtype).index_put((expert.masks[index],), part)
    return expert.scale * b.view(layer.outputs, RANK) @ expert.projections.of(layer)


def by_hand(base: Base, expert: Expert, values: Tensor, rows: list[Row], of: int) -> Tensor:
    """Return the sum over ``rows`` of their answer tokens' mean NLL, over ``of`` rows of the owner."""
    plain: Any = tiny("llama").eval().double()
    weights = {name: parameter.detach() for name, parameter in plain.named_parameters()}
    for index, layer in enumerate(base.adapters.layers):
        name = f"{layer.name}.weight"
        weights[name] = weights[name] + delta(base, expert, values, index)
    total = values.new_zeros(())
    for row in rows:
        logits = torch.func.functional_call(plain, weights, (torch.tensor([row.tokens]),)).logits[0]
        answer = torch.tensor(row.tokens[row.prompt :])
        total = total + F.cross_entropy(logits[row.prompt - 1 : -1], answer) / of
    return total


@pytest.mark.parametrize("checkpoint", [False, True])
def test_each_owner_gets_its_share_of_loss_and_gradient(base: Base, checkpoint: bool) -> None:
    """A part of the rows: two of the first owner's three, one of the second's two."""
    made = [one.with_values(one.values.clone().requires_grad_()) for one in experts(base)]
    batches = list(zip(made, ROWS, strict=True))
    part = [(0, ROWS[0][0]), (0, ROWS[0][2]), (1, ROWS[1][1])]
    losses, grads = micro_batch(base, batches, part, checkpoint)
    assert sorted(grads) == [0, 1]
    for owner, rows in ((0, [ROWS[0][0], ROWS[0][2]]), (1, [ROWS[1][1]])):
        leaf = made[owner].values.detach().clone().requires_grad_()
        expected = by_hand(base, made[owner], leaf, rows, len(ROWS[owner]))
        assert float(losses[owner]) == pytest.approx(float(expected.detach()), rel=1e-6)
        (grad,) = torch.autograd.grad(expected, leaf)
        assert grad.abs().max() > 0
        torch.testing.assert_close(grads[owner], grad, rtol=1e-5, atol=1e-8)


def test_parts_add_up_to_the_whole(base: Base) -> None:
    made = [one.with_values(one.values.clone().requires_grad_()) for one in experts(base)]
    batches = list(zip(made, ROWS, strict=True))
    rows = [(owner, row) for owner, mine in enumerate(ROWS) for row in mine]
    whole, slopes = micro_batch(base, batches, rows, False)
    parts = [micro_batch(base, batches, rows[a:b], False) for a, b in ((0, 2), (2, 4), (4, 5))]
    torch.testing.assert_close(sum(losses for losses, _ in parts), whole)
    for owner, slope in slopes.items():
        torch.testing.assert_close(sum(grads[owner] for _, grads in parts if owner in grads), slope)


def test_who_is_not_trained_has_a_loss_and_no_gradient(base: Base) -> None:
    one, other = experts(base)
    other = other.with_values(other.values.clone().requires_grad_())
    losses, grads = micro_batch(base, [(one, ROWS[0]), (other, ROWS[1])], [(0, ROWS[0][1]), (1, ROWS[1][0])], False)
    assert list(grads) == [1]
    assert bool((losses > 0).all())
    losses, grads = micro_batch(base, [(one, ROWS[0])], [(0, ROWS[0][1])], False)
    assert grads == {}


@pytest.mark.parametrize(
    ("device", "lengths", "most", "counts"),
    [
        ("cpu", [16] * 16, 256, [4, 4, 4, 4]),  # 256 tokens: four of 64
        ("cpu", [16] * 15, 256, [8, 7]),  # 240: two
        ("cpu", [16] * 7, 256, [7]),  # 112: one
        ("cuda", [16] * 16, 256, [16]),
        ("cuda", [16] * 16, 128, [8, 8]),
    ],
)
def test_a_step_is_cut_into_parts_that_cores_share_evenly(
    device: str, lengths: list[int], most: int, counts: list[int]
) -> None:
    pretended: Any = SimpleNamespace(device=torch.device(device))
    assert [len(part) for part in micro_batches(pretended, lengths, most)] == counts
