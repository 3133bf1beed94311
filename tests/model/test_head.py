"""From hidden states to logits and back: against torch's own losses and gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meshtune.model.head import Head, LinearHead, NoHead, OwnHead, TokenLosses, candidates, fitted, states_of

WIDTH, WORDS = 6, 11


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Decoder(nn.Module):
    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        return SimpleNamespace(last_hidden_state=draw(9, *input_ids.shape, WIDTH), hidden_states=None)


class Model(nn.Module):
    """Logits c tanh(s (W h + b) / c), or the bare product."""

    def __init__(self, scale: float = 1.0, cap: float | None = None, odd: bool = False) -> None:
        super().__init__()
        self.decoder, self.layer = Decoder(), nn.Linear(WIDTH, WORDS)
        self.layer.weight.data, self.layer.bias.data = draw(0, WORDS, WIDTH), draw(1, WORDS)
        self.layer.requires_grad_(False)
        self.scale, self.cap, self.odd = scale, cap, odd

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        out = self.decoder(input_ids=input_ids, use_cache=use_cache)
        assert out.hidden_states is None  # what a decoder leaves out is None
        logits = self.scale * self.layer(out.last_hidden_state)
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        return SimpleNamespace(logits=torch.sinh(logits) if self.odd else logits)


def heads() -> dict[str, tuple[Head, Model]]:
    """Heads with the models whose logits they give."""
    found: dict[str, tuple[Head, Model]] = {}
    for name, scale, cap in (("plain", 1.0, None), ("scaled", 0.25, None), ("capped", 2.0, 3.0)):
        model = Model(scale, cap)
        found[name] = LinearHead(model.layer, scale, cap), model
    odd = Model(odd=True)
    found["own"] = OwnHead(odd, odd.decoder), odd
    return found


def by_hand(model: Model, hidden: Tensor) -> Tensor:
    logits = model.scale * (hidden @ model.layer.weight.T + model.layer.bias)
    if model.cap is not None:
        logits = model.cap * torch.tanh(logits / model.cap)
    return torch.sinh(logits) if model.odd else logits


@pytest.mark.parametrize("name", heads())
def test_logits_and_their_gradient_are_the_models(name: str) -> None:
    head, model = heads()[name]
    hidden = draw(2, 4, WIDTH)
    torch.testing.assert_close(head.logits(hidden), by_hand(model, hidden))
    torch.testing.assert_close(head.logits(hidden.view(2, 2, WIDTH)), by_hand(model, hidden).view(2, 2, WORDS))
    logits, back = head.both(hidden)
    leaf = hidden.clone().requires_grad_()
    expected = by_hand(model, leaf)
    torch.testing.assert_close(logits, expected.detach())
    grad = draw(3, 4, WORDS)
    (slope,) = torch.autograd.grad(expected, leaf, grad)
    logits.zero_()  # what was returned may be changed before the way back
    torch.testing.assert_close(back(grad.clone()), slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 3, 7, 99])
@pytest.mark.parametrize("name", ["plain", "capped", "own", "none"])
def test_losses_and_their_gradient_are_those_of_cross_entropy(name: str, chunk: int) -> None:
    model = heads()[name][1] if name != "none" else None
    head = heads()[name][0] if name != "none" else NoHead()
    width = WIDTH if model else WORDS
    labels = torch.tensor([0, 10, 3, 3, 7, 1, 5])
    weights = draw(4, 7)
    ends = []
    for mine in (True, False):
        hidden = (0.5 * draw(5, 7, width)).requires_grad_()
        if mine:
            losses = TokenLosses.apply(hidden, labels, head, chunk)
        else:
            losses = F.cross_entropy(by_hand(model, hidden) if model else hidden, labels, reduction="none")
        ends.append((losses.detach(), torch.autograd.grad((losses * weights).sum(), hidden)[0]))
    for found, expected in zip(*ends, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        given = 0.5 * draw(5, 7, width)
        kept = given.clone()
        torch.testing.assert_close(TokenLosses.apply(given, labels, head, chunk), ends[1][0], rtol=1e-4, atol=1e-4)
        assert torch.equal(given, kept)  # logits that are the hidden states themselves stay as they are


def test_losses_of_logits_that_overflow_in_exp_are_finite() -> None:
    hidden = torch.tensor([[500.0, -500.0, 0.0]], requires_grad=True)
    losses = TokenLosses.apply(hidden, torch.tensor([1]), NoHead(), 8)
    assert losses.tolist() == [1000.0]
    (grad,) = torch.autograd.grad(losses.sum(), hidden)
    assert grad.tolist() == [[1.0, -1.0, 0.0]]


def test_logits_of_half_precision_are_given_in_fp32() -> None:
    model = Model().bfloat16()
    hidden = draw(2, 4, WIDTH).bfloat16()
    for head in (LinearHead(model.layer, 0.5), NoHead()):
        assert head.logits(hidden).dtype == torch.float32
    losses = TokenLosses.apply(hidden.requires_grad_(), torch.tensor([0, 1, 2, 3]), LinearHead(model.layer), 3)
    assert losses.dtype == torch.float32
    assert torch.autograd.grad(losses.sum(), hidden)[0].dtype == torch.bfloat16


def test_a_decoder_runs_as_before_where_no_states_are_given() -> None:
    model = Model()
    tokens = torch.ones(1, 3, dtype=torch.int64)
    expected = model(tokens).logits
    own = OwnHead(model, model.decoder)
    own.logits(draw(2, 4, WIDTH))
    torch.testing.assert_close(model(tokens).logits, expected)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())


@pytest.mark.parametrize(
    ("scale", "cap", "facts"),
    [
        (1.0, None, {"logit_scale": 3.0}),
        (0.25, None, {"logits_scaling": 4.0}),
        (4.0, None, {"logits_scaling": 4.0}),
        (1.0, 5.0, {"final_logit_softcapping": 5.0, "attn_softcap": 2.0}),
        (0.5, 5.0, {"lm_head_multiplier": 0.5, "logits_soft_cap": 5.0}),
    ],
)
def test_scale_and_cap_are_found_among_a_configurations_numbers(
    scale: float, cap: float | None, facts: dict[str, float]
) -> None:
    model = Model(scale, cap)
    hidden, config = draw(2, 8, WIDTH), SimpleNamespace(to_dict=lambda: facts)
    own = OwnHead(model, model.decoder)
    found = fitted(own, model.layer, config, hidden, own.logits(hidden), error, 1e-4)
    assert found is not None
    assert (found.scale, found.cap) == (scale, cap)
    assert fitted(own, model.layer, config, hidden, own.logits(hidden) + 1, error, 1e-4) is None


def test_a_cap_that_only_shows_in_louder_states_is_found() -> None:
    """tanh(x) = x in fp32 below 4e-4; eight times as large it is not."""
    model = Model(1.0, 4.0)
    model.layer.bias.data.zero_()
    hidden, config = 2e-4 * draw(2, 8, WIDTH), SimpleNamespace(to_dict=lambda: {"softcap": 4.0})
    own = OwnHead(model, model.decoder)
    assert torch.equal(own.logits(hidden), model.layer(hidden))
    found = fitted(own, model.layer, config, hidden, own.logits(hidden), error, 1e-4)
    assert found is not None
    assert found.cap == 4.0


def test_a_layer_that_may_do_more_than_the_product_is_not_taken_for_it() -> None:
    class Sub(nn.Linear):
        pass

    model, config = Model(), SimpleNamespace(to_dict=dict)
    model.layer.__class__ = Sub
    own, hidden = OwnHead(model, model.decoder), draw(2, 8, WIDTH)
    assert fitted(own, model.layer, config, hidden, own.logits(hidden), error, 1e-4) is None


def test_numbers_that_may_be_scales_or_caps() -> None:
    facts = {
        "logit_scale": 4, "use_logits": True, "logits_zero": 0.0, "vocab_size": 300, "soft_cap": 30.0, "capacity": 2,
        "logit_words": "x", "output_multiplier": 0.5, "logit_inf": float("inf"),
    }  # fmt: skip
    scales, caps = candidates(SimpleNamespace(to_dict=lambda: facts))
    assert scales == [1.0, 4.0, 0.25, 0.5, 2.0]
    assert caps == [None, 30.0, 2.0]


def test_states_are_those_of_what_a_decoder_returned() -> None:
    states = draw(0, 1, 2, 3)
    assert states_of((states, "cache")) is states
    assert states_of(SimpleNamespace(last_hidden_state=states)) is states
