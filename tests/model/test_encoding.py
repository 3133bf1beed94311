"""From questions to token rows: against token ids spelled out or asked of the bare tokenizer; and rows to batches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dressed import AROUND, BOS, EOS, OPTIONS, PROMPT, byte_core, dressed
from meshtune.errors import UserError
from meshtune.model.encoding import (
    Row,
    encode,
    encode_prompt,
    encode_question,
    encode_training,
    fit,
    length_buckets,
    opening,
    pad,
    plain,
    portions,
    shorten,
)
from meshtune.tasks.base import Question


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


@given(lengths=st.lists(st.integers(1, 40), max_size=30), most=st.integers(1, 100), few=st.sampled_from([1, 2, 4]))
@settings(max_examples=200, deadline=None)
def test_portions_hold_every_row_once_in_order_and_within_bounds(lengths: list[int], most: int, few: int) -> None:
    found = portions(lengths, most, few)
    assert [row for part in found for row in part] == list(range(len(lengths)))
    for part in found:
        assert len(part) == 1 or (len(part) > 1 and sum(lengths[i] for i in part) <= most)


def test_equal_rows_are_dealt_out_evenly() -> None:
    assert [len(part) for part in portions([10] * 40, 150, 4)] == [10, 10, 10, 10]


def test_equal_parts_end_together_where_portions_are_a_multiple() -> None:
    assert [len(part) for part in portions([10] * 16, 70, 4)] == [4, 4, 4, 4]  # not 7, 7 and 2
    assert portions([], 10, 4) == []
    assert portions([99], 10, 4) == [range(0, 1)]


@given(lengths=st.lists(st.integers(1, 40), max_size=30), budget=st.integers(1, 150))
def test_buckets_hold_every_row_once_longest_first_and_within_their_padded_size(
    lengths: list[int], budget: int
) -> None:
    buckets = length_buckets(lengths, budget)
    flat = [row for bucket in buckets for row in bucket]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[row] for row in flat] == sorted(lengths, reverse=True)
    for bucket, after in zip(buckets, [*buckets[1:], None], strict=False):
        longest = max(lengths[row] for row in bucket)
        assert len(bucket) == 1 or len(bucket) * longest <= budget
        assert after is None or (len(bucket) + 1) * longest > budget  # as full as can be


def test_rows_become_a_rectangle_padded_on_either_side() -> None:
    rows = [(1, 2, 3), (4,), ()]
    assert pad(rows).tolist() == [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
    assert pad(rows, left=True).tolist() == [[1, 2, 3], [0, 0, 4], [0, 0, 0]]


@pytest.mark.parametrize(("limit", "prompt", "answer"), [(20, 8, 4), (10, 6, 4), (5, 1, 4), (4, 1, 4), (2, 1, 4)])
def test_a_chosen_answer_stays_whole_and_its_prompt_is_cut_from_the_left(limit: int, prompt: int, answer: int) -> None:
    tokenizer = dressed(byte_core(), "bare")
    row = fit(tokenizer, Row(tuple(range(12)), 8), limit)
    assert row == Row(tuple(range(8 - prompt, 8 + answer)), prompt)


@pytest.mark.parametrize(
    ("answer", "limit", "kept"),
    [(6, 16, (8, 6)), (30, 16, (4, 12)), (30, 40, (10, 30)), (9, 16, (7, 9)), (13, 16, (4, 12))],
)
def test_a_written_answer_leaves_a_quarter_of_the_row_to_the_prompt(
    answer: int, limit: int, kept: tuple[int, int]
) -> None:
    tokenizer = dressed(byte_core(), "bare")
    row = fit(tokenizer, Row(tuple(range(answer + 10)), 10), limit, written=True)
    prompt, rest = kept
    if answer == 6:
        prompt = 10  # both fit
    assert row == Row(tuple(range(10 - prompt, 10 + rest)), prompt)


def test_options_are_cut_alike_so_that_they_share_their_prompt() -> None:
    tokenizer = dressed(byte_core(), "begin")
    rows = encode_question(tokenizer, Question("0", "t", PROMPT, OPTIONS, 0), 30)
    longest = len(" certainly not")
    assert {row.tokens[: row.prompt] for row in rows} == {
        (BOS, *byte_core().encode(PROMPT).ids[longest - 30 + 1 :]),
    }
    assert [row.answer for row in rows] == [len(f" {option}") for option in OPTIONS]
    assert max(len(row.tokens) for row in rows) == 30


@pytest.mark.parametrize("limit", [1, 2, 9, 99])
def test_a_prompt_keeps_its_last_tokens_behind_what_begins_a_text(limit: int) -> None:
    tokenizer = dressed(byte_core(), "begin")
    whole = (BOS, *byte_core().encode(PROMPT).ids)
    found = encode_prompt(tokenizer, PROMPT, limit)
    assert found == shorten(tokenizer, whole, limit)
    assert len(found) == min(limit, len(whole))
    if limit > 1:
        assert found[0] == BOS
        assert found[1:] == whole[1:][-(limit - 1) :]
    else:
        assert found == whole[-1:]


def test_without_an_end_of_its_own_a_written_answer_is_learnt_with_its_stop_unless_it_is_cut() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_core())
    question = Question("0", "t", "Q:", ("yes",), 0, True, True, stop="\n##")
    row = encode_training(tokenizer, question, 100)
    assert tokenizer.decode(row.tokens[row.prompt :]) == " yes\n##"
    ended = dressed(byte_core(), "bare")
    long = Question("0", "t", "Q:", ("y" * 50,), 0, True, True)
    assert EOS not in encode_training(ended, long, 20).tokens
    assert len(encode_training(ended, long, 54).tokens) == 54
    assert encode_training(ended, long, 54).tokens[-1] == EOS
