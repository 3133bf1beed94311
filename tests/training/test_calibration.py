"""What a device reads off the frozen model: inputs, entropies, gradients at B = 0, and means of its prompts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from meshtune.adapter.entropy import spectral_entropy
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.encoding import (
    Row,
)
from meshtune.model.loading import load
from meshtune.routing.config import RouterConfig
from meshtune.training.calibration import (
    averaged_inputs,
    calibrate,
    calibration_scores,
    entropies,
    layer_inputs,
    prompt_features,
    prompt_means,
    router_block,
)
from meshtune.training.trainer import accumulate

RANK = 4


@pytest.fixture(scope="module")
def base64() -> Base:
    return load(ModelConfig(name="tiny-random", dtype="float64", device="cpu"))


def rows_of(*lengths: tuple[int, int], seed: int = 0) -> list[Row]:
    draw = np.random.default_rng(seed)
    return [Row(tuple(draw.integers(1, 250, size=n).tolist()), prompt) for n, prompt in lengths]


def test_prompt_means_are_of_real_tokens_at_the_block(base64: Base) -> None:
    prompts = [tuple(row.tokens) for row in rows_of((5, 4), (11, 4), (8, 4))]
    found = prompt_means(base64, prompts, 1, 30)
    for prompt, mean in zip(prompts, found, strict=True):
        with torch.no_grad():
            states = base64.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[1]
        np.testing.assert_allclose(mean, states[0].mean(0).numpy(), rtol=1e-9, atol=1e-12)


def test_layer_inputs_leave_the_first_token_out(base64: Base) -> None:
    prompts = [tuple(row.tokens) for row in rows_of((5, 4), (11, 4), (8, 4))]
    found = layer_inputs(base64, prompts, 12)
    assert set(found) == {layer.place for layer in base64.adapters.layers}
    assert {h.shape[1] for h in found.values()} == {12}
    block = base64.blocks[0]
    with torch.no_grad():
        seen = base64.model.get_input_embeddings()(torch.tensor(prompts[0]))
        expected = block.input_layernorm(seen)[1:]
    torch.testing.assert_close(
        found["model.layers.0.self_attn/attn_in"][:, :4].T, expected.float(), rtol=1e-5, atol=1e-6
    )


def test_the_entropy_of_averaged_inputs_is_that_of_w_times_their_covariance(base64: Base) -> None:
    """numpy's SVD of W C, C the covariance of one averaged input per prompt, against ours (eq. 20, 21)."""
    prompts = [tuple(row.tokens) for row in rows_of((5, 4), (11, 4), (8, 4), (1, 1), (6, 4))]
    tokens = [layer_inputs(base64, [prompt], 100) for prompt in prompts if len(prompt) > 1]
    found = entropies(base64, averaged_inputs(base64, prompts, 3))
    for layer, entropy in zip(base64.adapters.layers, found, strict=True):
        means = np.stack([one[layer.place].double().numpy().mean(axis=1) for one in tokens[:3]])
        covariance = sum(np.outer(mean, mean) for mean in means) / 3
        sigma = np.linalg.svd(base64.adapters.weight(layer).numpy() @ covariance, compute_uv=False)[:3]
        p = sigma / sigma.sum()
        assert entropy == pytest.approx(-(p * np.log(p)).sum(), rel=1e-4)
        assert 0 < entropy <= np.log(3)


def test_a_single_averaged_input_has_no_entropy(base64: Base) -> None:
    """C has rank one; layers then get equal shares."""
    prompts = [tuple(row.tokens) for row in rows_of((5, 4), (11, 4))]
    one = averaged_inputs(base64, prompts, 1)
    assert {h.shape[1] for h in one.values()} == {1}
    assert entropies(base64, one) == pytest.approx([0.0] * len(base64.adapters.layers), abs=1e-6)
    assert averaged_inputs(base64, [(1,)], 5) == {}


def test_the_mask_keeps_the_largest_gradients(base64: Base) -> None:
    recipe = Recipe(seed=1, kind="orthogonal", block=0, rank=RANK)
    projections = Projections(recipe, torch.float64)
    batches = [rows_of((9, 4), (12, 5), seed=n) for n in range(2)]
    layers = base64.adapters.layers
    everywhere = [np.arange(size) for size in sizes(layers, RANK)]
    probe = SparseExpert(
        layers, projections, everywhere, 1.0, torch.zeros(sum(sizes(layers, RANK)), dtype=torch.float64)
    )
    probe.values.requires_grad_()
    for batch in batches:
        accumulate(base64, [(probe, batch)], 100)
    assert probe.values.grad is not None
    masks = calibrate(base64, projections, batches, [7] * len(layers), 100)
    for mask, gradient in zip(masks, probe.values.grad.abs().split(probe.counts), strict=True):
        assert mask.tolist() == sorted(torch.topk(gradient, 7).indices.tolist())


def test_scores_are_the_gradients_of_the_frozen_weights_seen_through_a(base64: Base) -> None:
    """With y = W0 x + B A x, the gradient for B at 0 is that for W0 times A transposed; batches are summed."""
    projections = Projections(Recipe(seed=1, kind="orthogonal", block=0, rank=RANK), torch.float64)
    batches = [rows_of((9, 4), (12, 5), seed=1), rows_of((7, 3), seed=2)]
    layers = base64.adapters.layers
    weights = [base64.adapters.weight(layer) for layer in layers]
    for weight in weights:
        weight.requires_grad_()
    try:
        total = sum(
            F.cross_entropy(
                base64.model(torch.tensor([row.tokens])).logits[0, row.prompt - 1 : -1],
                torch.tensor(row.tokens[row.prompt :]),
            )
            / len(batch)
            for batch in batches
            for row in batch
        )
        gradients = torch.autograd.grad(total, weights)
    finally:
        for weight in weights:
            weight.requires_grad_(False)
    scores = calibration_scores(base64, projections, batches, 30)
    for layer, gradient, found in zip(layers, gradients, scores, strict=True):
        expected = (gradient @ projections.of(layer).T).abs().reshape(-1).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)


def test_a_device_reads_no_more_prompts_than_it_needs(base64: Base) -> None:
    """Prompts of one token say nothing; of three others two have the tokens that are asked for."""
    first, second, third = ((5,) * 4, (6, 7, 8, 9), (10, 11, 12))
    found = layer_inputs(base64, [(3,), first, second, third], 5)
    same = layer_inputs(base64, [first, second], 5)
    assert {h.shape[1] for h in found.values()} == {5}
    assert all(torch.equal(h, same[place]) for place, h in found.items())
    assert {h.shape[1] for h in layer_inputs(base64, [first, third], 100).values()} == {3 + 2}
    assert layer_inputs(base64, [(3,), (4,)], 5) == {}


def test_entropies_are_each_layers_own_and_a_model_that_overflows_is_told(base64: Base) -> None:
    prompts = [row.tokens for row in rows_of((9, 4), (12, 5))]
    inputs = layer_inputs(base64, prompts, 15)
    found = entropies(base64, inputs)
    for layer, value in zip(base64.adapters.layers, found, strict=True):
        assert value == pytest.approx(spectral_entropy(base64.adapters.weight(layer), inputs[layer.place]), rel=1e-9)
    place = base64.adapters.layers[-1].place
    inputs[place][0, 0] = float("inf")
    with pytest.raises(UserError) as caught:
        entropies(base64, inputs)
    assert str(caught.value) == f"the input of {place} is not finite: hold the model in float32 or bfloat16"


def test_a_gradient_that_is_not_finite_is_told(base64: Base) -> None:
    projections = Projections(Recipe(seed=1, kind="orthogonal", block=0, rank=RANK), torch.float64)
    projections.of(base64.adapters.layers[0])[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"^the gradient behind the mask is not finite: hold the model in float32 or"):
        calibration_scores(base64, projections, [rows_of((9, 4))], 30)


@pytest.mark.parametrize(("depth", "block"), [(0.0, 0), (0.3, 1), (0.5, 2), (0.99, 3)])
def test_routers_look_behind_a_share_of_the_blocks_and_never_behind_the_last(
    base64: Base, depth: float, block: int
) -> None:
    """Of the four blocks of the tiny model."""
    assert len(base64.blocks) == 4
    assert router_block(base64, depth) == block
    prompts = [row.tokens for row in rows_of((5, 4), (11, 4))]
    seen = prompt_features(base64, prompts, RouterConfig(depth=depth), 30)
    np.testing.assert_array_equal(seen.hidden, prompt_means(base64, prompts, block, 30))
    assert seen.embedded is None


def test_embeddings_are_means_of_the_models_own_rows(base64: Base) -> None:
    prompts = [row.tokens for row in rows_of((5, 4), (11, 4))]
    table = base64.model.get_input_embeddings().weight.detach().numpy()
    seen = prompt_features(base64, prompts, RouterConfig(also=("retrieval",)), 30)
    expected = [table[list(prompt)].mean(axis=0) for prompt in prompts]
    np.testing.assert_allclose(seen.embedded, expected, rtol=1e-9, atol=1e-12)
