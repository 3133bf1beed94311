"""Where an answer ends: stops that lie across tokens, within one, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
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


def test_no_tokens_are_no_text() -> None:
    assert ending([], LINE).text([]) == ending([], SEVERAL).text([]) == ""
