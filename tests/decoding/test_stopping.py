"""Where an answer ends: stops that lie across tokens, within one, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.decoding.stopping import Ending

LINE = ("\n",)
SEVERAL = ("\nQuestion:", "\n[DONE]")


class Pieces:
    """A tokenizer whose tokens are given texts."""

    eos_token_id = None

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = list(pieces)

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(self._pieces[token] for token in tokens)


def ending(pieces: Sequence[str], stops: Sequence[str]) -> Ending:
    base: Any = SimpleNamespace(tokenizer=Pieces(pieces), model=None)
    return Ending(base, stops)


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "end"),
    [
        ([" 42", " or", " so\nQue", "stion"], LINE, "42 or so", 2),
        ([" a\n", "\n b", "\nQues", "tion", ": c"], SEVERAL, "a\n\n b", 4),
        ([" a", "\nQuestion: b\nAnswer: c"], SEVERAL, "a", 1),
        ([" a", "\n", "[", "DONE", "]"], SEVERAL, "a", 4),
        (["\n", "    return", " 1", " \n", "\t"], SEVERAL, "\n    return 1", None),
        (["  two", "\nQuestions:"], SEVERAL, "  two\nQuestions:", None),
        (["\n", "x"], LINE, "", 0),
        (["\nQuestion", ":"], SEVERAL, "", 1),
        ([":", "Question:"], SEVERAL, ":Question:", None),
    ],
)
def test_stops_at_token_borders(pieces: list[str], stops: Sequence[str], text: str, end: int | None) -> None:
    found = ending(pieces, stops)
    steps = [found.of_answer(range(count + 1)) for count in range(len(pieces))]
    assert (steps.index(True) if True in steps else None) == end
    assert found.text(range(len(pieces))) == text


@given(st.text("ab\nQ:", min_size=1, max_size=30), st.data())
def test_however_the_text_is_cut_into_tokens_it_ends_with_the_token_that_completes_the_first_stop(
    text: str, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text)), max_size=8)) | {0, len(text)})
    pieces = [text[start:stop] for start, stop in pairwise(cuts)]
    stops = ("\nQ:", "bb")
    found = ending(pieces, stops)
    steps = [found.of_answer(range(count + 1)) for count in range(len(pieces))]
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    expected = next(n for n, stop in enumerate(cuts[1:]) if stop >= min(ends)) if ends else None
    assert (steps.index(True) if True in steps else None) == expected
    before = text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]
    assert found.text(range(len(pieces))).strip() == before.strip()


class Bytes:
    """A tokenizer whose tokens are bytes; with ``named``, one that reads a run of them as a whole, or as no text."""

    eos_token_id = None

    def __init__(self, named: bool) -> None:
        self.named = named

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        if not self.named:
            return bytes(tokens).decode(errors="replace")
        runs = [(high, bytes(run)) for high, run in groupby(tokens, lambda token: token >= 128)]
        return "".join(self._read(run) if high else run.decode() for high, run in runs)

    @staticmethod
    def _read(run: bytes) -> str:
        try:
            return run.decode()
        except UnicodeDecodeError:
            return "\ufffd" * len(run)

    def convert_ids_to_tokens(self, token: int) -> str:
        return f"<0x{token:02X}>" if self.named and token >= 128 else chr(token)


TEXTS = st.text("ab \n:Q€é", max_size=20).map(str.encode)


@given(st.one_of(TEXTS, st.binary(max_size=20)), st.booleans(), st.sets(st.text("ab \n:Q€", min_size=1, max_size=4)))
@settings(max_examples=1000)
def test_what_is_settled_begins_the_answer_however_it_goes_on(text: bytes, named: bool, stops: set[str]) -> None:
    """Letters of several bytes, stops across tokens, space at either end: nothing is ever taken back."""
    base: Any = SimpleNamespace(tokenizer=Bytes(named), model=None)
    found = Ending(base, sorted(stops))
    ends = [count for count in range(1, len(text) + 1) if found.of_answer(text[:count])]
    written = text[: ends[0]] if ends else text
    for count in range(len(written) + 1):
        assert found.text(written).startswith(found.settled(written[:count]))


@pytest.mark.parametrize(
    ("pieces", "stops", "told"),
    [
        ([" 42", " or", " so", "\n"], LINE, ["42", "42 or", "42 or so", "42 or so"]),
        ([" a", "\nQ", "ueen", "\nQues", "tion:"], SEVERAL, ["a", "a", "a\nQueen", "a\nQueen", "a\nQueen"]),
        (["  ", "two", " "], SEVERAL, ["", "  two", "  two"]),
    ],
)
def test_what_is_told_token_by_token(pieces: list[str], stops: Sequence[str], told: list[str]) -> None:
    found = ending(pieces, stops)
    assert [found.settled(range(count + 1)) for count in range(len(pieces))] == told


def test_a_tokenizer_that_joins_words_keeps_the_last_one_back() -> None:
    """``do``, `` n``, ``'t`` are shown as ``don't`` once they are whole."""
    found = ending(["we", " do", " n", "'t", " go"], LINE)
    found._tokenizer.clean_up_tokenization_spaces = True
    joined = found._tokenizer.decode
    found._tokenizer.decode = lambda *args, **how: joined(*args, **how).replace(" n't", "n't")
    assert [found.settled(range(n + 1)) for n in range(5)] == ["", "we", "we do", "we", "we don't"]
    assert found.text(range(5)) == "we don't go"


def test_no_tokens_are_no_text() -> None:
    assert ending([], LINE).text([]) == ending([], SEVERAL).text([]) == ""
