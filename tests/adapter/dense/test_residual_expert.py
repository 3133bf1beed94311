"""LoRA beside a residual: the update, its gradient, and what tells two of them apart."""

from __future__ import annotations

import torch

from meshtune.adapter.dense.residual_expert import ResidualExpert
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.route import Segments
from meshtune.adapter.sites import describe

LAYERS = [
    describe(0, "model.layers.0.self_attn.q_proj", 6, 4, False),
    describe(1, "model.layers.0.mlp.up_proj", 4, 9, False),
]
KEPT = 6 * 4 + 4 * 9


def made() -> tuple[LoraExpert, ResidualExpert, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    values, kept = torch.randn(2 * (6 + 4 + 4 + 9), generator=draw), torch.randn(KEPT, generator=draw)
    return (
        LoraExpert(LAYERS, 2, 1.5, values),
        ResidualExpert(LAYERS, 2, 1.5, values).keeping(kept),
        kept,
    )


def test_the_residual_is_added_in_layers_of_either_shape() -> None:
    lora, expert, kept = made()
    for layer, r in zip(LAYERS, (kept[:24].view(4, 6), kept[24:].view(9, 4)), strict=True):
        torch.testing.assert_close(expert.delta(layer), lora.delta(layer) + r)
        x = torch.randn(3, layer.inputs, generator=torch.Generator().manual_seed(1))
        y = Segments([(expert, 1)]).apply(layer, x[None], torch.zeros(1, 3, layer.outputs))
        torch.testing.assert_close(y[0], x @ (lora.delta(layer) + r).T, rtol=1e-4, atol=1e-5)


def test_only_a_and_b_have_gradients_and_they_are_those_without_it() -> None:
    lora, expert, _ = made()
    assert expert.count == lora.count
    found = []
    for one in (lora.with_values(lora.values.clone()), expert.with_values(expert.values.clone())):
        one.values.requires_grad_()
        x = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(2))
        y = Segments([(one, 1)], trainable=True).apply(LAYERS[0], x, torch.zeros(1, 5, 4))
        found.append(torch.autograd.grad((y * torch.arange(20.0).view(1, 5, 4)).sum(), [one.values])[0])
    torch.testing.assert_close(*found)


def test_without_a_residual_it_is_lora() -> None:
    lora, _, _ = made()
    plain = ResidualExpert(LAYERS, 2, 1.5, lora.values)
    assert not any(r.any() for r in plain.residuals())
    for layer in LAYERS:
        assert torch.equal(plain.delta(layer), lora.delta(layer))


def test_experts_of_another_residual_are_others() -> None:
    lora, expert, kept = made()
    forms = {expert.form, ResidualExpert(LAYERS, 2, 1.5, lora.values).form, expert.keeping(kept + 1).form}
    assert len(forms) == 3
    assert expert.with_values(lora.values + 1).form == expert.form == expert.keeping(kept.clone()).form
