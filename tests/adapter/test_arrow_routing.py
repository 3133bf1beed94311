"""Arrow against whole singular value decompositions, token by token, and against PEFT where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from architectures import tiny
from meshtune.adapter.arrow_routing import Arrow, prototype
from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import LayerSpec, describe, sizes

LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 12, 9, False) for i in range(2)]
RANK, EXPERTS = 3, 4


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sparse(block: int, kind: str, layers: list[LayerSpec] = LAYERS) -> SparseExpert:
    """An expert over half of the positions, with a scale of its own."""
    chosen = np.random.default_rng(block)
    masks = [np.sort(chosen.choice(size, size // 2, replace=False)) for size in sizes(layers, RANK)]
    made = SparseExpert(layers, Projections(Recipe(0, kind, block, RANK)), masks, 0.5 + block)
    return SparseExpert(layers, made.projections, masks, made.scale, draw(block, made.count))


def lora(seed: int, layers: list[LayerSpec] = LAYERS) -> LoraExpert:
    made = LoraExpert(layers, RANK, 1.5)
    return made.with_values(draw(seed, made.count))


def experts(kind: str) -> list[Expert]:
    return [lora(50 + g) if kind == "lora" else sparse(g, kind) for g in range(EXPERTS)]


def by_hand(made: list[Expert], layer: LayerSpec, x: Tensor, top_k: int, temperature: float) -> np.ndarray:
    """Return the update (tokens, d), fp64: every B A formed and decomposed, every token on its own."""
    updates = [expert.delta(layer).double().numpy() for expert in made]
    leading = [np.linalg.svd(dw)[2][0] if dw.any() else np.zeros(dw.shape[1]) for dw in updates]
    rows = []
    for token in x.double().numpy():
        scores = np.array([abs(token @ v) for v in leading])
        best = sorted(range(len(made)), key=lambda g: -scores[g])[:top_k]
        shares = np.exp(scores[best] / temperature)
        rows.append(sum(s * (updates[g] @ token) for s, g in zip(shares / shares.sum(), best, strict=True)))
    return np.stack(rows)


@pytest.mark.parametrize("kind", ["orthogonal", "gaussian", "lora"])
def test_the_prototype_is_the_leading_right_singular_vector(kind: str) -> None:
    bank = Arrow(experts(kind))
    for layer in LAYERS:
        for expert, found in zip(bank.experts, bank.prototypes(layer), strict=True):
            expected = np.linalg.svd(expert.delta(layer).double().numpy())[2][0]
            np.testing.assert_allclose(found * float(np.sign(found.numpy() @ expected)), expected, atol=1e-6)


def test_a_projection_with_equal_rows_has_a_prototype_too() -> None:
    """Of A with rows a, a, c only the span of a and c is left: A A^T has no inverse."""
    a, b = draw(1, 3, 12), draw(2, 9, 3)
    a[1] = a[0]
    found = prototype(a, b)
    expected = np.linalg.svd((b @ a).double().numpy())[2][0]
    np.testing.assert_allclose(found * float(np.sign(found.numpy() @ expected)), expected, atol=1e-6)


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 1.0), (3, 1.0), (2, 0.2), (9, 5.0)])
@pytest.mark.parametrize("kind", ["orthogonal", "gaussian", "lora"])
def test_every_token_weighs_the_experts_it_points_along(kind: str, top_k: int, temperature: float) -> None:
    x, y = draw(7, 10, 12), draw(8, 10, 9)
    route = Arrow(experts(kind), top_k, temperature).route(torch.ones(2, EXPERTS))
    for layer in LAYERS:
        expected = y.numpy() + by_hand(experts(kind), layer, x, top_k, temperature)
        for shape, lengths in {(1, 10): [7, 3], (2, 5): None, (10,): None}.items():
            found = route.apply(layer, x.view(*shape, 12), y.view(*shape, 9).clone(), lengths)
            np.testing.assert_allclose(found.view(10, 9), expected, rtol=1e-4, atol=1e-4)


def test_tokens_are_weighed_alike_alone_and_together_in_every_dtype() -> None:
    bank = Arrow(experts("orthogonal"))
    x = draw(3, 6, 12)
    together = bank.weights(LAYERS[0], x)
    alone = torch.cat([bank.weights(LAYERS[0], token[None]) for token in x])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together.sum(dim=1), torch.ones(6))
    half = bank.weights(LAYERS[0], x.bfloat16())  # the rounded token's own weights, not rounded once more
    torch.testing.assert_close(half, bank.weights(LAYERS[0], x.bfloat16().float()))


def test_an_expert_without_an_update_in_a_layer_scores_nothing_there() -> None:
    """B = 0 in the first layer only: the token's best experts are others, or it takes the share of exp(0)."""
    made = experts("orthogonal")
    silent = made[1]
    assert isinstance(silent, SparseExpert)
    values = silent.values.clone()
    values[: silent.counts[0]] = 0.0
    made[1] = silent.with_values(values)
    x = draw(7, 10, 12)
    bank = Arrow(made, top_k=EXPERTS)
    assert not bank.prototypes(LAYERS[0])[1].any()
    np.testing.assert_allclose(bank.prototypes(LAYERS[1])[1].norm(), 1.0)
    for top_k in (2, EXPERTS):
        found = Arrow(made, top_k).route(torch.ones(1, EXPERTS)).apply(LAYERS[0], x, torch.zeros(10, 9))
        assert bool(torch.isfinite(found).all())
        np.testing.assert_allclose(found, by_hand(made, LAYERS[0], x, top_k, 1.0), rtol=1e-4, atol=1e-4)
    frozen = [expert.with_values(torch.zeros_like(expert.values)) for expert in made]
    still = Arrow(frozen).route(torch.ones(1, EXPERTS)).apply(LAYERS[0], x, torch.zeros(10, 9))
    assert not still.any()


def test_gates_are_not_looked_at_but_rows_are_counted() -> None:
    bank, x = Arrow(experts("orthogonal")), draw(7, 10, 12)
    equal, other = (bank.route(gates) for gates in (torch.full((2, 4), 0.25), torch.eye(4)[:2]))
    found = [route.apply(LAYERS[0], x, torch.zeros(10, 9), [4, 6]) for route in (equal, other)]
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="the route covers 2 rows"):
        equal.apply(LAYERS[0], x, torch.zeros(10, 9), [4, 3, 3])


def test_what_answers_alike_has_one_digest() -> None:
    made = experts("orthogonal")
    assert Arrow(made, 2).digest == Arrow(experts("orthogonal"), 2).digest
    others = [Arrow(made, 3), Arrow(made, 2, 0.5), Arrow(made[:3], 2), Arrow(made[::-1], 2)]
    assert len({bank.digest for bank in [Arrow(made, 2), *others]}) == 5
    assert Arrow(made, EXPERTS).digest == Arrow(made, EXPERTS + 5).digest


def pointed(seed: int, layers: list[LayerSpec]) -> LoraExpert:
    """An expert with one direction far ahead of the others in every layer: PEFT iterates 15 times towards it."""
    made = LoraExpert(layers, RANK, 1.5)
    values = made.values.clone()
    for number, (a, b) in enumerate(made.split(values)):
        q = [torch.linalg.qr(draw(1000 * seed + number, n, RANK))[0] for n in (a.shape[1], b.shape[0], RANK)]
        a.copy_(3.0 * q[0].T)
        b.copy_(q[1] * torch.tensor([0.3, 0.06, 0.03]) @ q[2])
    return made.with_values(values)


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 1.0), (3, 1.0), (2, 0.3)])
def test_a_whole_model_reads_as_under_peft(tmp_path: Path, top_k: int, temperature: float) -> None:
    """Logits of a random Llama with four LoRA adapters on all linear layers, through PEFT's own Arrow."""
    peft = pytest.importorskip("peft", reason="PEFT is not installed: the environment of make bench has it")
    from peft.tuners.lora.arrow import create_arrow_model

    from meshtune.model.probes.probed_base import open_base

    base: Any = open_base(tiny("llama"), None, "llama")
    layers = base.adapters.layers
    made = [pointed(g, layers) for g in range(EXPERTS)]
    settings = peft.LoraConfig(r=RANK, lora_alpha=1.5 * RANK, target_modules="all-linear")
    for g, expert in enumerate(made):
        wrapped = peft.get_peft_model(tiny("llama"), settings)
        for layer in layers:
            module = wrapped.base_model.model.get_submodule(layer.name)
            a, b = expert.pair(layer)
            module.lora_A["default"].weight.data.copy_(a)
            module.lora_B["default"].weight.data.copy_(b)
        wrapped.save_pretrained(tmp_path / str(g))
    arrow = peft.ArrowConfig(top_k=top_k, router_temperature=temperature, rng_seed=0)
    theirs = create_arrow_model(tiny("llama"), [str(tmp_path / str(g)) for g in range(EXPERTS)], arrow).eval()
    tokens = torch.randint(1, 64, (3, 17), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(input_ids=tokens).logits
        frozen = base.model(tokens).logits
        with base.adapters.routed(Arrow(made, top_k, temperature).route(torch.ones(3, EXPERTS))):
            found = base.model(tokens).logits
    assert float((expected - frozen).norm() / frozen.norm()) > 0.05  # the adapters say something
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
