"""What is scored is the option's own tokens after the prompt's, whatever a tokenizer puts around a text.

Expected values are worked out with plain transformers: token ids spelled out or asked of the bare tokenizer, and log p
of a model's own logits in float64.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from meshtune.decoding.scoring import Ask, measure, score
from meshtune.errors import UserError
from meshtune.model.encoding import Row, encode, encode_prompt, encode_question, encode_training, fit, opening, plain
from meshtune.model.probes.probed_base import open_base
from meshtune.tasks.base import Question

PROMPT, OPTIONS = "Question: is 4 even?\nAnswer:", ("yes", "no", "certainly not")
BOS, EOS = 256, 257
AROUND = {"bare": "$A", "end": "$A </s>", "begin": "<s> $A", "both": "<s> $A </s>"}


def byte_core() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def piece_core() -> Tokenizer:
    """SentencePiece's way: spaces become U+2581, one more stands in front, and pieces may hold it."""
    words = ["<unk>", *sorted({*PROMPT, *"".join(OPTIONS), "\u2581"} - {" "}), "\u2581y", "\u2581n", "es", "\u2581yes"]
    merges = [("\u2581", "y"), ("\u2581", "n"), ("e", "s"), ("\u2581y", "es")]
    core = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    return core


def dressed(core: Tokenizer, around: str) -> Any:
    core.add_special_tokens(["<s>", "</s>"])
    pairs = [(token, core.token_to_id(token)) for token in ("<s>", "</s>")]
    core.post_processor = processors.TemplateProcessing(single=AROUND[around], special_tokens=pairs)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


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


@pytest.mark.parametrize("around", ["end", "both"])
def test_an_appended_end_is_learnt_only_where_an_answer_ends(around: str) -> None:
    tokenizer = dressed(byte_core(), around)
    chosen = Question("0", "t", PROMPT, OPTIONS, 0)
    written = Question("0", "t", PROMPT, ("yes",), 0, True, True)
    row = encode_training(tokenizer, chosen, 100)
    assert EOS not in row.tokens
    assert tokenizer.decode(row.tokens[row.prompt :]) == " yes"
    learnt = encode_training(tokenizer, written, 100)
    assert learnt == Row((*row.tokens, EOS), row.prompt)
    assert learnt.tokens.count(EOS) == 1
    assert encode_question(tokenizer, written, 100) == [row]


@pytest.mark.parametrize("around", AROUND)
def test_a_cut_row_keeps_what_begins_a_text_and_all_of_its_answer(around: str) -> None:
    tokenizer = dressed(byte_core(), around)
    row = encode(tokenizer, PROMPT, "yes")
    begin = opening(tokenizer)
    assert begin == ((BOS,) if around in ("begin", "both") else ())
    cut = fit(tokenizer, row, 10)
    assert cut.tokens == (*begin, *row.tokens[len(begin) - 10 :])
    assert cut.answer == row.answer == len(" yes")


def test_a_border_that_merges_leaves_the_prompts_tokens_as_they_are_asked() -> None:
    """``:`` and the ``_`` after it merge to one token, that would be scored as answer or left out as prompt."""
    words = {word: i for i, word in enumerate(["Q", ":", "_", "y", "n", "_y", ":_"])}
    core = Tokenizer(models.BPE(vocab=words, merges=[(":", "_"), ("_", "y")]))
    core.normalizer = normalizers.Replace(" ", "_")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    assert core.encode("Q: y").ids == [0, 6, 3]
    assert encode(tokenizer, "Q:", "y") == Row((0, 1, 5), 2)
    rows = encode_question(tokenizer, Question("0", "t", "Q:", ("y", "n"), 0), 50)
    assert [row.tokens[:2] for row in rows] == [tuple(encode_prompt(tokenizer, "Q:", 50))] * 2
    assert rows[1] == Row((0, 1, 2, 4), 2)


def test_special_tokens_within_a_text_are_text() -> None:
    tokenizer = dressed(byte_core(), "both")
    prompt, option = "Say </s> or <s>:", "no</s> yes"
    row = encode(tokenizer, prompt, option)
    assert row.tokens[0] == BOS
    assert not {BOS, EOS} & set(row.tokens[1:])
    assert row.tokens[1:] == tuple(byte_core().encode(f"{prompt} {option}").ids)
    assert row.answer == len(f" {option}")
    assert plain(tokenizer, "</s>") == byte_core().encode("</s>").ids
    assert encode_prompt(tokenizer, prompt, 100) == row.tokens[: row.prompt]


def test_a_special_token_that_is_a_word_too_is_unknown_within_a_text() -> None:
    pieces = [("<unk>", 0.0), ("</s>", -1.0), *((char, -2.0) for char in "abQ:\u2581")]
    core = Tokenizer(models.Unigram(pieces, unk_id=0))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")
    assert core.encode("a</s>b").ids.count(1) == 1
    assert 1 not in plain(tokenizer, "a</s>b")


PIECES = st.sampled_from(["</s>", "<s>", " ", "a", "\u00e9", "\n", "<", "/s>", "\U0001f600"])
DRESSED = dressed(byte_core(), "both")


@given(st.lists(PIECES, min_size=1, max_size=8))
def test_text_gives_no_special_token_and_comes_back(parts: list[str]) -> None:
    text = "".join(parts)
    row = encode(DRESSED, f"Q {text}", f"{text}!")
    assert not {BOS, EOS} & set(row.tokens[1:])
    assert DRESSED.decode(row.tokens[1 : row.prompt]) == f"Q {text}"
    assert DRESSED.decode(row.tokens[row.prompt :]) == f" {text}!"


def test_an_answer_without_a_token_is_refused() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"Q": 0, ":": 1}, [])))
    with pytest.raises(UserError, match="no token for the answer '\U0001f600'"):
        encode(tokenizer, "Q:", "\U0001f600")
    with pytest.raises(UserError, match="no token for the prompt"):
        encode(tokenizer, "x", "Q")


def test_settings_of_a_tokenizers_file_do_not_cut_or_fill_rows() -> None:
    core = byte_core()
    core.enable_truncation(5)
    core.enable_padding(length=200)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="!")
    row = encode(tokenizer, PROMPT, "yes")
    assert tokenizer.decode(row.tokens) == f"{PROMPT} yes"


def test_a_tokenizer_that_knows_no_special_tokens_of_text_is_asked_without_the_word() -> None:
    class Strict:
        unk_token_id = None

        def __call__(self, text: str, verbose: bool, add_special_tokens: bool, **more: Any) -> dict[str, list[int]]:
            if more:
                raise ValueError("`split_special_tokens` is not supported")
            return {"input_ids": [7] * add_special_tokens + [ord(c) for c in text] + [8] * add_special_tokens}

    assert encode(Strict(), "a:", "b") == Row((7, 97, 58, 32, 98), 3)
