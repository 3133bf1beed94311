"""What a model gives for single rows by itself, and which models are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from architectures import any_tiny
from meshtune.errors import UserError
from meshtune.model.probes.probed_base import open_base

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
