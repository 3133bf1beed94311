"""What a model gives for single rows by itself, and which models are refused."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from architectures import VOCABULARY, any_tiny
from meshtune.errors import UserError
from meshtune.model.probes.probed_base import open_base
from meshtune.model.probes.survey import Survey, far_off, far_rows, reason, rows_of, survey

BIDIRECTIONAL = ("bert", "roberta", "xlm")


@pytest.mark.parametrize("kind", BIDIRECTIONAL)
def test_a_model_that_looks_ahead_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match=r"looks ahead: .* use a causal language model$"):
        open_base(any_tiny(kind), None, kind)


def test_values_that_float16_cannot_hold_are_one_sentence() -> None:
    model: Any = any_tiny("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(1e4)
        model.model.layers[0].mlp.gate_proj.weight.mul_(1e4)
    with pytest.raises(UserError, match=r"not finite in model.dtype=float16: hold the model in float32 or bfloat16$"):
        open_base(model.to(torch.float16), None, "loud")
    for remedy in (torch.float32, torch.bfloat16):
        open_base(model.to(remedy), None, "loud")


def test_layers_that_are_not_called_are_left_out() -> None:
    """Mamba multiplies by the weight of dt_proj itself, so that an adapter there would do nothing."""
    base = open_base(any_tiny("mamba"), None, "mamba")
    assert base.paths.left_out == tuple(f"backbone.layers.{n}.mixer.dt_proj" for n in (0, 1))
    assert not any(layer.name.endswith("dt_proj") for layer in base.adapters.layers)


def test_rows_are_plain_tokens_of_one_beginning_and_unlike_ends() -> None:
    model: Any = any_tiny("llama")
    tokenizer = SimpleNamespace(all_special_ids=[5, 6, 7], bos_token_id=1)
    rows, start = rows_of(model, tokenizer)
    assert [len(row) for row in rows] == [24, 24, 9]
    assert start == 20
    assert rows[0][:20] == rows[1][:20]
    assert rows[0][20:] != rows[1][20:]
    assert rows[2] == rows[1][:9]
    assert all(row[0] == 1 for row in rows)  # what begins every text begins these too
    plain = {token for row in rows for token in row[1:]}
    assert not plain & {0, 1, 2, 5, 6, 7}  # of the configuration and of the tokenizer
    assert max(plain) < VOCABULARY
    assert rows_of(model, tokenizer) == (rows, start)


def test_a_model_of_few_positions_is_asked_shorter_rows() -> None:
    model: Any = any_tiny("llama", max_position_embeddings=10)
    rows, start = rows_of(model, None)
    assert ([len(row) for row in rows], start) == ([10, 10, 6], 6)


def test_far_rows_are_longer_than_a_window() -> None:
    (first, second, short), start = far_rows(any_tiny("llama"), 60)
    assert (len(first), len(second), len(short), start) == (60, 59, 10, 55)
    assert first[:55] == second[:55]
    assert first[55:59] != second[55:]


def test_errors_are_shares_of_a_tokens_spread() -> None:
    """Of the second token all logits are off by a tenth; their spread is sqrt(2) by n - 1."""
    expected = torch.tensor([[1.0, 2.0, 3.0], [0.0, 2.0, 1.0]])
    assert far_off(expected, expected) == 0
    off = expected + torch.tensor([[0.0], [0.1]])
    assert far_off(off, expected) == pytest.approx(0.1)
    assert far_off(10 * off, 10 * expected) == pytest.approx(0.1)
    assert far_off(off * float("nan"), expected) == float("inf")
    assert far_off(torch.zeros(1, 3, dtype=torch.float16), torch.zeros(1, 3)) == 0


def test_what_is_seen_is_what_the_model_gives_for_each_row() -> None:
    model: Any = any_tiny("llama").double()
    seen = survey(model, None, "llama")
    assert (seen.half, seen.stateful, seen.left_out, seen.far, seen.noise) == (False, False, (), [], 0.0)
    assert seen.limit == 3e-4
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with torch.no_grad():
        outs = [model(torch.tensor([row]), output_hidden_states=True) for row in seen.rows]
    for out, logits, entered in zip(outs, seen.logits, seen.entered, strict=True):
        torch.testing.assert_close(logits, out.logits[0], rtol=1e-6, atol=1e-9)
        assert entered is not None
        torch.testing.assert_close(entered, out.hidden_states[seen.block][0], rtol=1e-6, atol=1e-9)
    assert seen.hidden is not None
    torch.testing.assert_close(seen.hidden, outs[0].hidden_states[-1][0], rtol=1e-6, atol=1e-9)


def test_rows_beyond_a_window_are_read_too_and_one_that_is_too_long_is_not() -> None:
    near: Any = any_tiny("mistral", sliding_window=16)
    seen = survey(near, None, "mistral")
    assert [len(row) for row in seen.far] == [40, 39, 10]
    with torch.no_grad():
        expected = near(torch.tensor([seen.far[0]]), output_hidden_states=True).hidden_states[-1][0]
    torch.testing.assert_close(seen.far_states[0], expected, rtol=1e-4, atol=1e-5)
    assert survey(any_tiny("mistral", sliding_window=2000, max_position_embeddings=4000), None, "mistral").far == []


class Changed(nn.Module):
    """A Llama whose logits are changed on their way out."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.inner: Any = any_tiny("llama")
        self.config, self.change = self.inner.config, change

    def get_decoder(self) -> Any:
        return self.inner.get_decoder()

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        return SimpleNamespace(logits=self.change(self.inner(input_ids=input_ids, use_cache=use_cache).logits))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda x: x + torch.randn_like(x),
            "mine gives other logits each time it reads the same row: use a model with",
        ),
        (lambda x: x + x[:, -1:], "mine looks ahead: a row's last tokens change the logits before them"),
        (lambda x: x[:, -1:], r"mine: Changed gives logits of shape \(1, 300\) for 24 tokens: use a causal"),
        (lambda x: x / 0, r"mine computes values that are not finite in model\.dtype=float32: download its weights"),
        (lambda x: x["no"], "mine: Changed cannot read a row of tokens alone"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_in_one_sentence(change: Any, said: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.name={said}"):
        survey(Changed(change), None, "mine")


def test_a_state_that_a_pass_leaves_is_seen() -> None:
    class Counting(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.passes += 1  # type: ignore[operator]
            found: torch.Tensor = self.inner(x)
            return found

    model: Any = any_tiny("llama")
    model.model.norm = Counting(model.model.norm)
    assert survey(model, None, "counting").stateful


@pytest.mark.parametrize(("noise", "limit"), [(0.0, 0.1), (0.1, 0.3), (9.0, 0.5)])
def test_in_sixteen_bits_the_limit_follows_the_noise_within_bounds(noise: float, limit: float) -> None:
    assert Survey([], 0, 0, half=True, noise=noise).limit == pytest.approx(limit)


def test_an_errors_reason_is_one_short_line() -> None:
    assert reason(ValueError("first.\nsecond")) == "first"
    assert reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 500))) == 160
