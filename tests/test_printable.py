from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from meshtune.printable import printable


def test_ordinary_text_is_left_alone() -> None:
    assert printable("größe 大きさ Ελλάδα a\\b") == "größe 大きさ Ελλάδα a\\b"


def test_what_would_act_on_a_terminal_is_written_out() -> None:
    assert printable("a\x1b[31mred\nb\tc\u202ed\u200be\ud800f\u2028g") == (
        "a\\x1b[31mred\\nb\\tc\\u202ed\\u200be\\ud800f\\u2028g"
    )


def test_long_text_is_cut() -> None:
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"


@given(st.text(alphabet=st.characters(codec=None, categories=None)), st.integers(1, 50))
def test_any_text_becomes_one_short_line_of_visible_characters(text: str, limit: int) -> None:
    shown = printable(text, limit)
    shown.encode("utf-8")
    assert len(shown) <= limit
    assert all(unicodedata.category(char)[0] != "C" for char in shown)
    assert len(shown.splitlines()) <= 1
