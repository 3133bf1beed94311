"""Arrow's router decides nothing per prompt: its gates are equal, and each token of a layer finds its own experts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.sites import describe
from meshtune.routing.arrow import ArrowRouter
from meshtune.routing.features import Features

LAYERS = [describe(0, "model.layers.0.self_attn.q_proj", 4, 5, False)]


def pointed(axis: int) -> LoraExpert:
    """An expert of rank 1 whose update reads one coordinate of its input alone."""
    made = LoraExpert(LAYERS, 1, 1.0)
    values = torch.zeros(made.count)
    ((a, b),) = made.split(values)
    a[0, axis] = 1.0
    b[:, 0] = 1.0
    return made.with_values(values)


def test_gates_are_equal_whatever_the_prompts() -> None:
    router = ArrowRouter({"sums", "maps", "odds"})
    assert router.groups == ("maps", "odds", "sums")
    assert router.by_token
    seen = Features(np.random.default_rng(0).standard_normal((5, 7)))
    assert not router.scores(seen).any()
    np.testing.assert_allclose(router.gates(seen), np.full((5, 3), 1 / 3))


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 1.0), (2, 0.5), (3, 2.0), (9, 1.0)])
def test_its_bank_weighs_each_token_by_the_best_experts_under_its_temperature(top_k: int, temperature: float) -> None:
    """Experts that read one coordinate each: a token scores them by the size of that coordinate."""
    bank = ArrowRouter(["a", "b", "c"], top_k, temperature).bank([pointed(axis) for axis in (2, 0, 1)])
    tokens = torch.tensor([[3.0, -1.0, 0.5, 9.0], [0.1, 0.2, -0.3, 0.0]])
    for token, found in zip(tokens.tolist(), bank.weights(LAYERS[0], tokens).tolist(), strict=True):
        scores = [abs(token[axis]) for axis in (2, 0, 1)]
        best = sorted(range(3), key=lambda g: -scores[g])[:top_k]
        shares = {g: np.exp(scores[g] / temperature) for g in best}
        assert found == pytest.approx([shares.get(g, 0.0) / sum(shares.values()) for g in range(3)], rel=1e-6)
