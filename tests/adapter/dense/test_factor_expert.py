"""Factors in turn: the same update as LoRA's, and gradients of one factor only."""

from __future__ import annotations

import torch

from meshtune.adapter.dense.factor_expert import FactorExpert
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.route import Segments
from meshtune.adapter.sites import describe

LAYERS = [
    describe(0, "model.layers.0.self_attn.q_proj", 6, 4, False),
    describe(1, "model.layers.0.mlp.down_proj", 8, 6, False),
]


def filled() -> tuple[LoraExpert, FactorExpert]:
    lora = LoraExpert(LAYERS, 2, 1.5, torch.randn(2 * (6 + 4 + 8 + 6), generator=torch.Generator().manual_seed(0)))
    return lora, FactorExpert.of(lora)


def test_it_is_the_update_of_the_lora_it_was_made_of() -> None:
    lora, expert = filled()
    assert expert.count == lora.count == 48
    for layer in LAYERS:
        assert torch.equal(expert.delta(layer), lora.delta(layer))
    assert expert.with_values(expert.values.clone()).digest == expert.digest


def test_turns_are_b_then_a_and_cover_all_values() -> None:
    _, expert = filled()
    assert [expert.sent(version) for version in (1, 2, 3, 4)] == [20, 28, 20, 28]
    assert expert.most == 28
    seen = [torch.arange(48)[expert.turn(version)] for version in (1, 2)]
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(48))


def test_only_the_factor_in_turn_is_trained() -> None:
    """Gradients are those of the product written out in full, and the other factor stays as it is."""
    _, expert = filled()
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    ((a, b), _) = expert.split(expert.values)
    for version in (1, 2):
        trained = expert.trainee(version)
        trained.values.requires_grad_()
        y = Segments([(trained, 1)], trainable=True).apply(LAYERS[0], x[None], torch.zeros(1, 5, 4))
        (found,) = torch.autograd.grad(y.square().sum(), [trained.values])
        free = (b if version == 1 else a).clone().requires_grad_()
        written = 1.5 * x @ (a.T @ free.T if version == 1 else free.T @ b.T)
        (expected,) = torch.autograd.grad(written.square().sum(), [free])
        torch.testing.assert_close(found[: expected.numel()], expected.reshape(-1))
        assert not found[expected.numel() :].any()  # of the other layer, which was not used
        moved = expert.taught(trained.with_values(trained.values.detach() + 1.0))
        change = moved.values - expert.values
        assert torch.allclose(change[expert.turn(version)], torch.tensor(1.0))
        assert not change[expert.turn(version + 1)].any()


def test_a_trainee_is_known_by_its_turn_and_the_factor_at_rest() -> None:
    _, expert = filled()
    other = expert.with_values(expert.values + 1.0)
    assert len({expert.trainee(1).form, expert.trainee(2).form, other.trainee(1).form}) == 3
