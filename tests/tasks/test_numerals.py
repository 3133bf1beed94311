"""Numbers in the spellings of people and models, and those that are not read."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.tasks import get_task
from meshtune.tasks.numerals import number_in


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("70 000", "70000"),
        ("70\u202f000", "70000"),
        ("70\u00a0000.50", "70000.5"),
        ("$70 000", "70000"),
        ("\u22125", "-5"),
        ("-$70,000.00", "-70000"),
        ("7e4", "70000"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("1e\u22123", "0.001"),
        ("14,50,000", "1450000"),
        (".5", "0.5"),
        ("\u0667\u0660\u0660\u0660\u0660", "70000"),
        ("\uff15", "5"),
        ("1/2", "0.5"),
        ("\u00bd", "0.5"),
        ("-\u00bd", "-0.5"),
        ("2 1/2", "2.5"),
        ("2\u00bd", "2.5"),
        ("-3/4", "-0.75"),
        ("1/2.", "0.5"),
    ],
)
def test_a_spelling_is_the_number_that_it_means(words: str, number: str) -> None:
    for text in (words, f"about {words} apples", f"({words})"):
        assert number_in(text) == Decimal(number)
        assert number_in(text, last=True) == Decimal(number)


@pytest.mark.parametrize(
    "words", ["1.000,5", "1,5", "1.000.000", "12,5,3", "70\u202f000,5", "10\u00b2", "5/0", "7 8/3"]
)
def test_a_spelling_with_two_readings_is_no_number(words: str) -> None:
    assert number_in(words) is None
    assert number_in(f"5, then {words}", last=True) is None


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [
        ("3/4/2020", 3, 2020),
        ("from 2020 100 are left", 2020, 100),
        ("12 34", 12, 34),
        ("20-3", 20, 3),
        ("20\u22123", 20, 3),
        ("1 000, 5", 1000, 5),
        ("5e or 300 ex", 5, 300),
    ],
)
def test_what_only_looks_like_one_number_is_several(words: str, first: int, last: int) -> None:
    assert number_in(words) == first
    assert number_in(words, last=True) == last


@given(st.integers(-(10**12), 10**12), st.sampled_from([",", " ", "\u00a0", "\u202f", "\u2009"]), st.booleans())
def test_thousands_may_be_parted_by_every_sign_in_use(number: int, sign: str, minus: bool) -> None:
    written = f"{number:,}".replace(",", sign)
    assert number_in(written.replace("-", "\u2212") if minus else written) == number


@given(st.integers(0, 10**9 - 1), st.integers(1, 10**9 - 1))
def test_fractions_are_exact(over: int, under: int) -> None:
    assert number_in(f"{over}/{under}") == Fraction(over, under)


@given(st.text(alphabet="0123456789.,/-eE \u00bd\u202f\u2212$", max_size=40))
def test_no_text_is_an_error(words: str) -> None:
    for last in (False, True):
        found = number_in(words, last)
        assert (found is None) or any(char.isnumeric() for char in words)


def test_a_number_of_any_length_is_read_at_once() -> None:
    assert number_in("9" * 100_000) == Decimal("9" * 100_000)
    assert number_in("1e999") == Decimal("1e999")


def test_a_reference_with_two_numbers_or_two_readings_is_refused() -> None:
    for behind, said in (("1.000,5", "has no number behind"), ("7 of 8", "more than one number")):
        with pytest.raises(UserError, match=said):
            get_task("gsm8k").question({"question": "How much?", "answer": f"So.\n#### {behind}"})


@pytest.mark.parametrize(
    ("reference", "text"), [("70000", "70\u202f000"), ("-5", "\u22125"), ("0.5", "1/2"), ("1000", "1e3")]
)
def test_an_answer_is_right_in_every_spelling(reference: str, text: str) -> None:
    task = get_task("gsm8k")
    asked = task.question({"question": "How much?", "answer": f"So.\n#### {reference}"})
    assert task.judge(asked, f"It is {text}.")
    assert task.judge(asked, f"#### {text}")
