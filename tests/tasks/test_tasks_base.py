"""What a row may hold, how it becomes a question, and how a written answer is judged."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.tasks.base import (
    LONGEST,
    PUBLIC_TEST,
    EmptyOptionError,
    Question,
    Task,
    TaskRow,
    checked_options,
    index,
    own_id,
    shared_prompt,
    shown,
    text,
    texts,
)


class Capitals(Task):
    """The smallest written task."""

    name = "capitals"
    hub_id = "nobody/capitals"
    splits = PUBLIC_TEST
    fields = ("country", "capitals")
    licence = "none"
    written = True

    def body(self, row: TaskRow) -> str:
        return f"What is the capital of {row['country']}?"

    def own_prompt(self, row: TaskRow) -> str:
        return f"{row['country']}:"

    def options(self, row: TaskRow) -> list[str]:
        return list(row["capitals"])

    def answer(self, row: TaskRow) -> int:
        return 0


class Choice(Capitals):
    written = False


class Poems(Capitals):
    stops = ("\nThe end", "\n\n")

    def check(self, row: TaskRow) -> str:
        return "check"

    def given(self, row: TaskRow) -> str:
        return "given"


def row(*capitals: str) -> dict[str, Any]:
    return {"country": "France", "capitals": list(capitals)}


def test_a_written_question_holds_its_reference_alone() -> None:
    prompt = "Question: What is the capital of France?\nAnswer:"
    assert Capitals().question(row(" Paris ")) == Question("0", "capitals", prompt, ("Paris",), 0, True, True)
    assert Capitals().question(row("Paris"), "own").prompt == "France:"
    assert shared_prompt(" What is the capital of France?\n") == prompt


def test_only_a_written_question_may_have_one_option() -> None:
    assert not Choice().question(row("Paris", "Rome")).written
    with pytest.raises(UserError, match="needs at least two options, this row has 1"):
        Choice().question(row("Paris"))
    for capitals, found in (((), "0 of them"), (("Paris", "Rome"), "2 of them"), (("Paris\nRome",), "several lines")):
        with pytest.raises(UserError, match=f"one reference answer of one line, this row has {found}"):
            Capitals().question(row(*capitals))
    with pytest.raises(UserError, match="one reference answer, this row has 2 of them"):
        Poems().question(row("Paris", "Rome"))
    with pytest.raises(EmptyOptionError):
        Capitals().question(row(" "))


def test_a_written_answer_may_have_several_lines_where_the_task_does_not_stop_with_its_line() -> None:
    question = Poems().question(row("Paris\n  Rome"))
    assert question.options == ("Paris\n  Rome",)
    assert (question.stop, question.check, question.given) == ("\nThe end", "check", "given")


def test_by_default_the_grade_is_the_judgement() -> None:
    task = Capitals()
    questions = [task.question(row(capital)) for capital in ("Paris", "Rome", "Rome")]
    assert task.grade(questions, ["Paris", "Paris", "Rome "]) == [{"acc": 1.0}, {"acc": 0.0}, {"acc": 1.0}]


@pytest.mark.parametrize(("said", "right"), [("Paris", True), (" Paris ", True), ("paris", False), ("", False)])
def test_by_default_a_right_answer_is_the_reference(said: str, right: bool) -> None:
    task = Capitals()
    assert task.judge(task.question(row("Paris")), said) is right


def test_an_unknown_template_is_named() -> None:
    with pytest.raises(UserError, match=r"^unknown template 'fancy': choose one of shared, own$"):
        Choice().question(row("Paris", "Rome"), "fancy")


@pytest.mark.parametrize(("answer", "said"), [(-1, "option 0"), (2, "option 3")])
def test_an_answer_that_is_no_option_is_named(answer: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Choice, "answer", lambda self, row: answer, raising=False)
    with pytest.raises(UserError, match=rf"^the answer is {said}, but the row has 2 options$"):
        Choice().question(row("Paris", "Rome"))


def test_a_text_beyond_any_row_is_named() -> None:
    long = "x" * LONGEST
    assert Choice().question(row("Paris", long)).options == ("Paris", long)
    with pytest.raises(UserError, match=r"^option 2 has 1000001 characters, more than 1000000: cut it or drop the"):
        Choice().question(row("Paris", f"{long}x"))
    with pytest.raises(UserError, match=r"^the prompt has 10000\d\d characters"):
        Choice().question({**row("Paris", "Rome"), "country": long})


def refused(read: Callable[..., object], value: object, *more: Any) -> str:
    with pytest.raises(UserError) as caught:
        read({"f": value}, "f", *more)
    return str(caught.value)


def test_a_text_is_stripped_and_nothing_else_is_text() -> None:
    assert text({"f": " a b\n"}, "f") == "a b"
    assert text({"f": " \n"}, "f", may_be_empty=True) == ""
    assert refused(text, " \n") == "field 'f' is empty: fill it in or drop the row"
    for value, said in ((None, "null"), (3, "3"), (True, "true"), (["a"], '["a"]'), (b"a", "b'a'")):
        assert refused(text, value) == refused(text, value, True) == f"field 'f' is {said}, not text"


def test_a_list_of_texts_is_a_list_of_nothing_else() -> None:
    given_ = ["a", " "]
    assert texts({"f": given_}, "f") == given_
    assert texts({"f": given_}, "f") is not given_
    for value, said in (("ab", '"ab"'), (["a", 1], '["a", 1]'), (None, "null")):
        assert refused(texts, value) == f"field 'f' is {said}, not a list of texts"


@given(st.integers(0, 10**9 - 1), st.integers(0, 3), st.booleans())
def test_an_index_counts_from_the_first(number: int, first: int, written: bool) -> None:
    value = f" {number}\n" if written else number
    if number >= first:
        assert index({"f": value}, "f", first) + first == number
    else:
        assert refused(index, value, first).endswith(f"counted from {first}: correct it or drop the row")


def test_what_is_no_index_is_named() -> None:
    for value, said in (
        (1.0, "1.0"),
        (True, "true"),
        ("", '""'),
        ("1.0", '"1.0"'),
        ("²", '"²"'),
        ("1" * 10, '"1111111111"'),
    ):
        assert refused(index, value) == f"field 'f' is {said}, not the number of an option counted from 0"
    hidden = "answers are hidden in this split, take one that has them or drop the row"
    assert refused(index, "-1") == f"field 'f' is -1, but options are counted from 0: {hidden}"
    assert refused(index, -2).endswith("is -2, but options are counted from 0: correct it or drop the row")


def test_an_id_is_the_rows_own_or_its_number() -> None:
    assert [own_id({"f": value}, "f", 4) for value in ("a", 0, 7, None, "x" * 200)] == ["a", "0", "7", "4", "x" * 200]
    assert own_id({}, "f", 4) == "4"
    for value, said in (("", '""'), (True, "true"), (1.5, "1.5"), (["a"], '["a"]')):
        assert refused(own_id, value, 4) == (
            f"field 'f' is {said}, not an id: give a text or a whole number, or leave it out"
        )
    assert "not an id" in refused(own_id, "x" * 201, 4)


@given(st.recursive(st.none() | st.text() | st.binary() | st.floats(), st.lists))
def test_whatever_is_shown_is_short_and_on_one_line(value: object) -> None:
    found = shown(value)
    assert 0 < len(found) <= 40
    assert not any(unicodedata.category(letter)[0] == "C" for letter in found)


def test_options_to_choose_from_are_two_or_more_and_differ() -> None:
    assert checked_options([" a", "b "]) == ("a", "b")
    for options in ([], ["a"], ["a", " a"], ["a", " "]):
        with pytest.raises(UserError, match=r"^`options` needs two or more different answers$"):
            checked_options(options)
