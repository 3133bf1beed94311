"""Blocks that are computed again in the backward pass: the same gradient, with the route of the first computation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures import tiny
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.layer import Adapters
from meshtune.adapter.route import Segments
from meshtune.model.base import Base
from meshtune.model.checkpointing import again_in_backward, make_checkpointed
from meshtune.model.packing import Packed
from meshtune.model.probes.probed_base import open_base


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.runs = 0

    def forward(self, x: Tensor, more: float = 0.0) -> Tensor:
        self.runs += 1
        return torch.tanh(self.linear(x)) + more


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([Block(), Block()])


def model() -> tuple[Model, Adapters]:
    made = Model()
    adapters = Adapters(made)
    for block in made.blocks:
        make_checkpointed(block, adapters)
    return made, adapters


def through(made: Model, x: Tensor) -> Tensor:
    for block in made.blocks:
        x = block(x, more=0.5)
    return x


@pytest.mark.parametrize("wanted", [False, True])
def test_a_block_runs_once_more_only_where_it_is_wanted(wanted: bool) -> None:
    made, _ = model()
    x = torch.ones(2, 3, requires_grad=True)
    with again_in_backward(wanted):
        y = through(made, x)
    assert [block.runs for block in made.blocks] == [1, 1]
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert [block.runs for block in made.blocks] == [1 + wanted] * 2
    plain = Model()
    leaf = torch.ones(2, 3, requires_grad=True)
    (expected,) = torch.autograd.grad(through(plain, leaf).sum(), leaf)
    torch.testing.assert_close(grad, expected)


def test_without_gradients_nothing_is_computed_again() -> None:
    made, _ = model()
    with again_in_backward(True), torch.no_grad():
        through(made, torch.ones(2, 3))
    with again_in_backward(True), again_in_backward(False):
        y = through(made, torch.ones(2, 3, requires_grad=True))
    y.sum().backward()
    assert [block.runs for block in made.blocks] == [2, 2]


def test_the_wish_is_each_threads_own_and_ends_with_its_context() -> None:
    made, _ = model()

    def elsewhere() -> Any:
        return through(made, torch.ones(2, 3, requires_grad=True))

    with again_in_backward(True), ThreadPoolExecutor(1) as pool:
        pool.submit(elsewhere).result().sum().backward()
    assert [block.runs for block in made.blocks] == [1, 1]
    elsewhere().sum().backward()
    assert [block.runs for block in made.blocks] == [2, 2]


def kept(wanted: bool) -> list[int]:
    made, _ = model()
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), again_in_backward(wanted):
        through(made, torch.ones(50, 3, requires_grad=True))
    return sizes


def test_less_is_kept() -> None:
    assert sum(kept(True)) < sum(kept(False))


@pytest.mark.parametrize("thread", [False, True])
def test_the_second_computation_has_the_route_and_rows_of_the_first(thread: bool) -> None:
    """The backward pass runs behind the route's context, where another route is set, and perhaps in another thread."""
    base: Base = open_base(tiny("llama").double(), None, "llama")
    layers = base.adapters.layers
    start = LoraExpert(layers, 2, 1.0)
    values = torch.randn(start.count, generator=torch.Generator().manual_seed(0)).double() * 0.1
    rows = [(5, 9, 3, 8, 7, 7, 2), (4, 4, 1)]
    grads = []
    for wanted in (False, True):
        expert = start.with_values(values.clone().requires_grad_())
        with base.adapters.routed(Segments([(expert, 2)], trainable=True)):
            loss = base.read(Packed(rows, base.device), wanted).square().sum()
        other = start.with_values(values + 1)
        with base.adapters.routed(Segments([(other, 1)])):
            if thread:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(loss.backward).result()
            else:
                loss.backward()
        assert base.adapters.current()[0] is None
        grads.append(expert.values.grad)
    assert grads[0] is not None
    assert grads[0].abs().max() > 0
    torch.testing.assert_close(grads[0], grads[1])
