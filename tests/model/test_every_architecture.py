"""What training and scoring do to the inside of a model, on every architecture: against the model called plainly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from architectures import ARCHITECTURES, tiny
from meshtune.adapter.entropy import spectral_entropy
from meshtune.adapter.expert import Expert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Segments
from meshtune.adapter.sites import sizes
from meshtune.decoding.scoring import Ask, score
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.probes.probed_base import open_base
from meshtune.training.calibration import entropies, layer_inputs, prompt_means
from meshtune.training.trainer import accumulate

RANK = 4


@pytest.fixture(scope="module", params=ARCHITECTURES)
def any_base(request: pytest.FixtureRequest) -> Base:
    return open_base(tiny(request.param).double(), None, request.param)


def sparse(base: Base, block: int) -> SparseExpert:
    draw = np.random.default_rng(block)
    masks = [np.sort(draw.choice(s, s // 5, replace=False)) for s in sizes(base.adapters.layers, RANK)]
    recipe = Recipe(seed=1, kind="orthogonal", block=block, rank=RANK)
    made = SparseExpert(base.adapters.layers, Projections(recipe, base.dtype), masks, 2.0)
    made.values = torch.from_numpy(draw.standard_normal(made.count)) * 0.1
    return made


def rows_of(*lengths: int, prompt: int, seed: int) -> list[Row]:
    """Rows that share a prompt of ``prompt`` tokens and go on for ``lengths`` tokens."""
    draw = np.random.default_rng(seed)
    head = draw.integers(1, 64, size=prompt).tolist()
    return [Row((*head, *draw.integers(1, 64, size=n).tolist()), prompt) for n in lengths]


def plain(base: Base, row: Row, expert: Expert | None) -> torch.Tensor:
    """Return the summed answer NLL of one row, through the model's own head."""
    with base.adapters.routed(Segments([(expert, 1)], trainable=True)):
        logits = base.model(torch.tensor([row.tokens])).logits[0]
    return F.cross_entropy(logits[row.prompt - 1 : -1], torch.tensor(row.tokens[row.prompt :]), reduction="sum")


def test_options_beside_one_prompt_are_scored_as_single_rows(any_base: Base) -> None:
    """Also where rows are longer than Gemma's window of 16 tokens."""
    experts = [sparse(any_base, 0), None, sparse(any_base, 1)]
    prompts = (3, 7, 5, 20, 9, 11)
    asks = [Ask(rows_of(1, 3, 2, prompt=p, seed=n), experts[n % 3]) for n, p in enumerate(prompts)]
    for ask, found in zip(asks, score(any_base, asks, 60), strict=True):
        with torch.no_grad():
            expected = [-float(plain(any_base, row, ask.expert)) for row in ask.rows]
        assert found.logprobs == pytest.approx(expected, rel=1e-9)


def test_one_batched_pass_has_the_gradients_of_single_rows(any_base: Base) -> None:
    experts: list[Expert] = [sparse(any_base, 0), sparse(any_base, 1)]
    batches = [rows_of(2, 5, prompt=4, seed=1), rows_of(3, prompt=19, seed=2)]
    for expert in experts:
        expert.values.requires_grad_()
    accumulate(any_base, list(zip(experts, batches, strict=True)), 40)
    for expert, batch in zip(experts, batches, strict=True):
        assert expert.values.grad is not None
        together, expert.values.grad = expert.values.grad.clone(), None
        sum(plain(any_base, row, expert) / row.answer / len(batch) for row in batch).backward()  # type: ignore[union-attr]
        torch.testing.assert_close(together, expert.values.grad, rtol=1e-9, atol=1e-12)


def test_prompt_means_are_those_of_the_models_own_hidden_states(any_base: Base) -> None:
    prompts = [row.tokens for row in rows_of(2, 6, 3, prompt=3, seed=5)]
    for prompt, mean in zip(prompts, prompt_means(any_base, prompts, 1, 30), strict=True):
        with torch.no_grad():
            states = any_base.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[1]
        np.testing.assert_allclose(mean, states[0].mean(0).numpy(), rtol=1e-9, atol=1e-12)


def test_layer_inputs_and_entropies_are_each_layers_own(any_base: Base) -> None:
    """Against hooks on the frozen modules: no layer is given another block's inputs."""
    prompts = [row.tokens for row in rows_of(4, 9, 5, prompt=3, seed=6)]
    seen: dict[str, list[torch.Tensor]] = {layer.name: [] for layer in any_base.adapters.layers}
    handles = [
        any_base.model.get_submodule(f"{name}.base").register_forward_pre_hook(
            lambda _, args, pile=pile: pile.append(args[0].reshape(1, -1, args[0].shape[-1])[0, 1:])
        )
        for name, pile in seen.items()
    ]
    with torch.no_grad():
        for prompt in prompts:
            any_base.model(torch.tensor([prompt]))
    for handle in handles:
        handle.remove()
    found = layer_inputs(any_base, prompts, 18)
    values = entropies(any_base, found)
    for layer, value in zip(any_base.adapters.layers, values, strict=True):
        h = torch.cat(seen[layer.name])[:18].T.float()
        torch.testing.assert_close(found[layer.place], h, rtol=1e-5, atol=1e-6)
        assert value == pytest.approx(spectral_entropy(any_base.adapters.weight(layer), h), rel=1e-4)
