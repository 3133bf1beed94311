"""What a base is used for agrees with the model itself, whatever its architecture; what does not is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from architectures import VOCABULARY, NotTiny, any_tiny
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Segments
from meshtune.config.learning_config import TrainConfig
from meshtune.decoding.scoring import Ask, score
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.probes.probed_base import open_base
from meshtune.seeds import stream
from meshtune.training.trainer import Job, accumulate, train

NOT_TINY = frozenset(
    {
        "blt", "codegen", "cohere_compass_text", "dbrx", "dots3_note", "emu3", "gemma3", "gemma3n", "gemma3n_text",
        "gemma4", "gemma4_assistant", "gemma4_text", "gemma4_unified", "gemma4_unified_assistant", "git", "got_ocr2",
        "gptj", "kimi_linear", "lfm2_moe", "llama4", "mamba2", "mllama", "moss_transcribe_diarize", "musicgen",
        "musicgen_melody", "phi4_multimodal", "prophetnet", "qwen3_5", "qwen3_5_moe", "qwen4_exp", "reformer",
        "roc_bert", "xlnet", "xmod", "zamba", "zamba2", "zaya",
    }
)  # fmt: skip
"""Architectures that none of the settings in tests/architectures.py builds small."""


@pytest.fixture
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def question(length: int, *ends: int, seed: int) -> list[Row]:
    draw = stream(seed, "probing")
    start = draw.integers(3, VOCABULARY, length).tolist()
    return [Row((*start, *draw.integers(3, VOCABULARY, n).tolist()), length) for n in ends]


def alone(model: nn.Module, row: Row) -> torch.Tensor:
    """Return the summed log-probability of an option by plain transformers."""
    odds = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0].double().log_softmax(-1)
    return odds[range(row.prompt - 1, len(row.tokens) - 1), row.tokens[row.prompt :]].sum()


def expert_of(base: Base) -> SparseExpert:
    layers = base.adapters.layers
    masks = [torch.arange(0, layer.outputs * 2, 3) for layer in layers]
    made = SparseExpert(layers, Projections(Recipe(1, "gaussian", 0, 2), base.dtype), masks, 1.0)
    values = torch.from_numpy(stream(2, "values").standard_normal(made.count)).float() * 0.05
    return made.with_values(values)


def agrees(kind: str, tiny: Callable[[str], Any] = any_tiny) -> Base:
    """Check scores in every order, a training step and passes in two threads against plain transformers."""
    base = open_base(tiny(kind), None, kind)
    plain = tiny(kind)
    asks = [Ask(question(length, 3, 1, 5, seed=length)) for length in (6, 30, 13, 21)]
    limit = 1e-6 if kind == "llama" else 1e-4
    with torch.no_grad():
        expected = [[float(alone(plain, row)) for row in ask.rows] for ask in asks]
    for turn in (1, -1):
        turned = [Ask(ask.rows[::turn]) for ask in asks]
        for found, right in zip(score(base, turned, 60), expected, strict=True):
            for mine, theirs in zip(found.logprobs[::turn], right, strict=True):
                assert mine == pytest.approx(theirs, rel=limit, abs=limit)
    expert = expert_of(base)
    expert.values.requires_grad_()
    rows = [ask.rows[0] for ask in asks]
    (loss,) = accumulate(base, [(expert, rows)], 60)
    grad, expert.values.grad = expert.values.grad, None
    assert grad is not None
    total = 0.0
    for row in rows:
        with base.adapters.routed(Segments([(expert, 1)], trainable=True)):
            mine_alone = -alone(base.model, row) / row.answer / len(rows)
        mine_alone.backward()
        total += float(mine_alone.detach())
    assert loss == pytest.approx(total, abs=1e-4 * max(1.0, abs(total)))
    assert float((grad - expert.values.grad).norm()) <= 1e-3 * float(grad.norm())
    before = expert.values.detach().clone()
    job = Job(expert.with_values(before.clone()), [rows], 1e-3)
    train(base, [job], TrainConfig(micro_tokens=60, warmup=0))
    assert math.isfinite(job.losses[0])
    assert not torch.equal(job.expert.values, before)
    return base


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "kind",
    ["llama", "bamba", "mpt", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("lfm2", "gpt_neo", "mamba"))],
)
def test_options_score_as_each_alone_whatever_their_order(kind: str) -> None:
    base = agrees(kind)
    assert base.beside == (kind == "llama")
    said = " ".join(base.notes())
    assert ("options are scored one row each" in said) != base.beside


@pytest.mark.parametrize(
    ("kind", "more", "scale", "cap"),
    [
        ("hyperclovax", {"logits_scaling": 4.0}, 4.0, None),
        ("granite", {"logits_scaling": 4.0}, 0.25, None),
        ("cohere", {"logit_scale": 0.25}, 0.25, None),
        ("gemma2", {"final_logit_softcapping": 5.0}, 1.0, 5.0),
        ("recurrent_gemma", {"logits_soft_cap": 3.0}, 1.0, 3.0),
        ("falcon_h1", {"lm_head_multiplier": 0.5}, 0.5, None),
    ],
)
def test_scale_and_cap_are_what_the_model_does_with_them(
    kind: str, more: dict[str, float], scale: float, cap: float | None
) -> None:
    base = open_base(any_tiny(kind, **more), None, kind)
    assert (base.paths.linear, base.paths.scale, base.paths.cap) == (True, scale, cap)


@pytest.mark.usefixtures("two_threads")
def test_a_window_counts_the_columns_of_options_side_by_side() -> None:
    """GPT-Neo's window of 26 columns is wide enough for each row of 21 + 5 tokens, not for its options together."""
    base = agrees("gpt_neo", lambda kind: any_tiny(kind, window_size=26))
    assert base.beside
    assert not base.packs


def test_a_head_that_is_no_plain_product_is_run_as_it_is() -> None:
    """An output layer that bends its product: neither its logits nor their gradient are those of its weight."""

    class Bent(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sinh(super().forward(x))

    def bent(kind: str) -> Any:
        model: Any = any_tiny(kind)
        head = Bent(32, VOCABULARY)
        with torch.no_grad():
            head.weight.copy_(model.lm_head.weight * 0.3)
            head.bias.copy_(torch.linspace(-1, 1, VOCABULARY))
        model.lm_head = head
        return model

    base = agrees("llama", bent)
    assert base.packs
    assert not base.paths.linear
    assert not base.paths.whole


def test_a_bias_in_the_head_counts() -> None:
    base = agrees("phi")
    assert base.paths.linear
    assert base._layer.bias is not None


def test_a_model_that_keeps_a_state_reads_in_one_thread() -> None:
    base = open_base(any_tiny("recurrent_gemma"), None, "recurrent_gemma")
    assert not base.threads
    assert any(note.startswith("passes run one after another") for note in base.notes())


def test_what_is_left_out_is_named_with_its_share() -> None:
    """Worked out by hand: attention 32x32, 16x32 twice, 32x32; the router 4x32; experts 4 x (48x32 + 32x24)."""
    base = open_base(any_tiny("mixtral", intermediate_size=24), None, "mixtral")
    inside = 2 * (1024 + 512 + 512 + 1024 + 128 + 4 * (48 * 32 + 32 * 24) + 64)
    assert base.share.share == pytest.approx(2 * 3072 / inside)
    assert base.share.left_out[:2] == ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
    percent = f"{100 * base.share.share:.1f}"
    assert base.notes()[0].startswith(
        f"adapts {percent}% of the blocks' parameters; left out: mlp.experts.gate_up_proj"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_every_causal_architecture_agrees_or_is_refused(kind: str) -> None:
    if kind in NOT_TINY:
        with pytest.raises(NotTiny):
            any_tiny(kind)
        pytest.skip(f"{kind} does not build small")
    any_tiny(kind)
    refused = ""
    try:
        agrees(kind)
    except UserError as error:
        refused = str(error)
    assert "\n" not in refused
    assert not refused or kind in refused
