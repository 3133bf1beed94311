"""What is scored is the option's own tokens after the prompt's, whatever a tokenizer puts around a text.

Expected values are worked out with plain transformers: token ids spelled out or asked of the bare tokenizer, and log p
of a model's own logits in float64.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dressed import AROUND, OPTIONS, PROMPT, byte_core, dressed, piece_core
from meshtune.decoding.scoring import Ask, measure, score
from meshtune.model.encoding import Row, encode_prompt, encode_question
from meshtune.model.probes.probed_base import open_base
from meshtune.tasks.base import Question


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(1)
    shape = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(shape).eval()


def by_hand(model: Any, before: list[int], after: list[int]) -> float:
    """Summed log p of ``after`` behind ``before``."""
    with torch.no_grad():
        logits = model(torch.tensor([before + after]), use_cache=False).logits[0].double()
    odds = logits.log_softmax(-1)
    return sum(float(odds[len(before) + i - 1, token]) for i, token in enumerate(after))


@pytest.mark.parametrize("make", [byte_core, piece_core])
@pytest.mark.parametrize("around", AROUND)
def test_an_options_log_p_is_that_of_its_own_tokens(around: str, make: Any, model: LlamaForCausalLM) -> None:
    tokenizer, bare = dressed(make(), around), make()
    begin = [tokenizer.bos_token_id] if around in ("begin", "both") else []
    before = bare.encode(PROMPT).ids
    question = Question("0", "t", PROMPT, OPTIONS, 0)
    rows = encode_question(tokenizer, question, 100)
    expected = []
    for row, option in zip(rows, OPTIONS, strict=True):
        whole = bare.encode(f"{PROMPT} {option}").ids
        assert whole[: len(before)] == before
        assert row == Row((*begin, *whole), len(begin) + len(before))
        expected.append(by_hand(model, begin + before, whole[len(before) :]))
    base = open_base(copy.deepcopy(model), tokenizer, "tiny")
    (found,) = score(base, [Ask(rows)], 1000)
    assert found.logprobs == pytest.approx(expected, abs=1e-4)
    assert measure(question, found)["nll"] == pytest.approx(-expected[0] / rows[0].answer, abs=1e-5)
    assert encode_prompt(tokenizer, PROMPT, 100) == (*begin, *before) == rows[0].tokens[: rows[0].prompt]
