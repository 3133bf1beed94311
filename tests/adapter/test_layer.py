"""The adapted layer against plain dense algebra, on every architecture we name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from architectures import ARCHITECTURES, tiny
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.layer import Adapters
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Bank, Mixture, Segments
from meshtune.adapter.sites import sizes
from meshtune.errors import UserError

RANK, SCALE = 4, 2.0


def expert_on(adapters: Adapters, block: int, dtype: torch.dtype = torch.float32, density: float = 0.3) -> SparseExpert:
    rng = np.random.default_rng(block)
    masks = [np.sort(rng.choice(s, max(1, int(s * density)), replace=False)) for s in sizes(adapters.layers, RANK)]
    made = SparseExpert(
        adapters.layers,
        Projections(Recipe(seed=7, kind="orthogonal", block=block, rank=RANK), dtype),
        masks,
        SCALE,
    )
    made.values = torch.from_numpy(rng.standard_normal(made.count)).to(dtype) * 0.1
    return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_bank_of_one_equals_merged_weights(architecture: str) -> None:
    """y = W0 x + s (B o M) A x is the frozen model with W0 + s (B o M) A in place of W0."""
    model, merged = tiny(architecture).eval(), tiny(architecture).eval()
    adapters = Adapters(model)
    expert = expert_on(adapters, 1)
    for layer in adapters.layers:
        weight = merged.get_submodule(layer.name).weight
        update = expert.delta(layer)
        weight.data += update.T if architecture == "gpt2" else update
    tokens = torch.randint(1, 64, (3, 9))
    with torch.no_grad():
        expected = merged(tokens).logits
        frozen = model(tokens).logits
        with adapters.routed(Segments([(expert, 3)])):
            one = model(tokens).logits
        with adapters.routed(Mixture(Bank([expert]), torch.ones(3, 1))):
            bank = model(tokens).logits
    assert (expected - frozen).abs().max() > 1e-3
    torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bank, expected, rtol=1e-4, atol=1e-5)


def loss_of(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    logits = model(tokens).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_many_devices_equal_one_at_a_time(architecture: str, dtype: torch.dtype, tolerance: float) -> None:
    """One pass over rows of three devices and the frozen model: outputs and gradients as device by device."""
    model = tiny(architecture).eval().to(dtype)
    adapters = Adapters(model)
    experts = [expert_on(adapters, block, dtype) for block in (0, 1, 2)]
    tokens = torch.randint(1, 64, (7, 11))
    rows = [2, 1, 3]
    for expert in experts:
        expert.values.requires_grad_()
    runs = [(experts[0], 2), (None, 1), (experts[1], 1), (experts[2], 3)]
    with adapters.routed(Segments(runs, trainable=True)):
        joint = model(tokens).logits
        loss_of(model, tokens).backward()
    together = [expert.values.grad.clone() for expert in experts]
    starts = [0, 3, 4]
    for expert, start, count, found in zip(experts, starts, rows, together, strict=True):
        expert.values.grad = None
        mine = tokens[start : start + count]
        with adapters.routed(Segments([(expert, count)], trainable=True)):
            alone = model(mine).logits
            loss_of(model, mine).backward()
        scale = alone.abs().max()
        assert (joint[start : start + count] - alone).abs().max() <= tolerance * scale
        assert (found - expert.values.grad).abs().max() <= tolerance * expert.values.grad.abs().max()
    with torch.no_grad():
        frozen = model(tokens[2:3]).logits
    assert (joint[2:3] - frozen).abs().max() <= tolerance * frozen.abs().max()


def test_gradient_equals_autograd_through_dense_masked_lora() -> None:
    """The hand-written backward pass against autograd through W0 + s B A with B dense and masked."""
    model = tiny("llama").eval().double()
    adapters = Adapters(model)
    expert = expert_on(adapters, 0, torch.float64)
    expert.values.requires_grad_()
    tokens = torch.randint(1, 64, (2, 8))
    with adapters.routed(Segments([(expert, 2)], trainable=True)):
        loss_of(model, tokens).backward()
    plain = tiny("llama").eval().double()
    leaf = expert.values.detach().clone().requires_grad_()
    weights = {name: p.detach() for name, p in plain.named_parameters()}
    for layer, mask, part in zip(adapters.layers, expert.masks, leaf.split(expert.counts), strict=True):
        b = torch.zeros(layer.outputs * RANK, dtype=torch.float64).index_put((mask,), part).view(layer.outputs, RANK)
        name = layer.name + ".weight"
        weights[name] = weights[name] + SCALE * b @ expert.projections.of(layer)
    logits = torch.func.functional_call(plain, weights, (tokens,)).logits
    F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum").backward()
    torch.testing.assert_close(expert.values.grad, leaf.grad, rtol=1e-10, atol=1e-12)


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(UserError, match="no linear layers"):
        Adapters(nn.Sequential(nn.Embedding(4, 4), nn.LayerNorm(4)))
