"""How much of a model's blocks is adapted, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from meshtune.adapter.coverage import Coverage, adapted_share
from meshtune.adapter.layer import AdaptedLinear, Adapters


class Block(nn.Module):
    """A linear layer (6 x 4 and a bias of 6), a norm of 6, and fused experts of 2 x 3 x 5."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.experts = nn.Parameter(torch.zeros(2, 3, 5))
        self.convs = nn.ModuleList([nn.Conv1d(2, 3, 7), nn.Conv1d(2, 3, 7)])


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])


def test_weights_in_adapted_layers_are_a_share_of_the_blocks() -> None:
    model = Model()
    adapters = Adapters(model)
    found = adapted_share(model.layers, adapters.layers)
    assert found.share == pytest.approx(2 * 24 / (2 * (24 + 6 + 12 + 30 + 2 * (42 + 3))))
    assert found.left_out == ("convs.*", "experts")  # 168 and 60 numbers; norms and biases go without saying


def test_a_layer_that_is_not_adapted_is_named_and_a_tied_weight_counts_once() -> None:
    model = Model()
    adapters = Adapters(model, left_out=["layers.1.proj"])
    second: nn.Module = model.layers[1]
    assert isinstance(model.layers[0].proj, AdaptedLinear)
    second.experts = model.layers[0].experts
    found = adapted_share(model.layers, adapters.layers)
    assert found.share == pytest.approx(24 / (2 * (24 + 6 + 12 + 2 * (42 + 3)) + 30))
    assert found.left_out == ("convs.*", "experts", "proj")


def test_a_share_is_at_most_the_whole() -> None:
    """An adapted layer may be used by several blocks, and blocks may be empty."""
    linear = nn.ModuleList([nn.Linear(4, 6, bias=False)])
    model = nn.Module()
    model.layers = linear
    adapters = Adapters(model)
    assert adapted_share(linear, [*adapters.layers, *adapters.layers]).share == 1.0
    assert adapted_share([nn.Module()], []) == Coverage(0.0, ())


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ((), "adapts 12.5% of the blocks' parameters"),
        (("a", "b"), "adapts 12.5% of the blocks' parameters; left out: a, b"),
        (tuple("abcdefgh"), "adapts 12.5% of the blocks' parameters; left out: a, b, c, d, e, f, g, h"),
        (tuple("abcdefghij"), "adapts 12.5% of the blocks' parameters; left out: a, b, c, d, e, f, g, h and 2 more"),
    ],
)
def test_it_is_told_in_one_sentence(left_out: tuple[str, ...], said: str) -> None:
    assert Coverage(0.125, left_out).text() == said
