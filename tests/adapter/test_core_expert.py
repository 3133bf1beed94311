"""Experts of r x r cores: what they compute, what is fixed, and their gradient."""

from __future__ import annotations

import pytest
import torch

from meshtune.adapter.core_expert import CoreExpert
from meshtune.adapter.route import Segments
from meshtune.adapter.sites import describe
from meshtune.errors import UserError

LAYERS = [
    describe(0, "model.layers.0.self_attn.q_proj", 8, 5, False),
    describe(1, "model.layers.0.mlp.down_proj", 12, 4, False),
]


def core(seed: int = 0) -> CoreExpert:
    return CoreExpert.fresh(LAYERS, 2, 1.5, seed)


def test_a_and_b_are_orthonormal_and_follow_from_the_seed() -> None:
    expert = core()
    for (a, b), layer in zip(expert.fixed, LAYERS, strict=True):
        assert (a.shape, b.shape) == ((2, layer.inputs), (layer.outputs, 2))
        torch.testing.assert_close(a @ a.T, torch.eye(2))
        torch.testing.assert_close(b.T @ b, torch.eye(2))
    assert torch.equal(core().fixed[1][0], expert.fixed[1][0])
    assert not torch.equal(core(1).fixed[1][0], expert.fixed[1][0])
    assert core().form == expert.form == expert.with_values(torch.ones(8)).form != core(1).form


def test_the_update_is_b_r_a() -> None:
    """Layer 0 has R = [[1, 2], [3, 4]], row after row, layer 1 the four values after it."""
    start = core()
    assert start.count == 8
    assert not start.values.any()
    expert = start.with_values(torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0, 5.0, 0.0, 0.0]))
    assert expert.fixed is start.fixed
    for layer, r in zip(LAYERS, ([[1.0, 2.0], [3.0, 4.0]], [[0.0, 5.0], [0.0, 0.0]]), strict=True):
        a, b = expert.fixed[layer.index]
        r = torch.tensor(r)
        by_hand = sum(1.5 * r[i, j] * torch.outer(b[:, i], a[j]) for i in range(2) for j in range(2))
        torch.testing.assert_close(expert.delta(layer), by_hand)


def test_the_gradient_is_that_of_the_core_between_b_and_a() -> None:
    """Of the sum of <G, y> over tokens it is scale B^T G A^T in closed form, also at R = 0."""
    expert = core()
    expert.values.requires_grad_()
    draw = torch.Generator().manual_seed(0)
    x, g = torch.randn(1, 3, 8, generator=draw), torch.randn(1, 3, 5, generator=draw)
    y = Segments([(expert, 1)], trainable=True).apply(LAYERS[0], x, torch.zeros(1, 3, 5))
    (grad,) = torch.autograd.grad((y * g).sum(), [expert.values])
    a, b = expert.fixed[0]
    torch.testing.assert_close(grad[:4].view(2, 2), 1.5 * b.T @ (g[0].T @ x[0]) @ a.T)
    assert not grad[4:].any()


def test_a_rank_beyond_a_layers_width_is_refused() -> None:
    with pytest.raises(UserError, match=r"adapter.rank=5.*width 4 of model.layers.0.mlp.down_proj"):
        CoreExpert.fresh(LAYERS, 5, 1.0, 0)
