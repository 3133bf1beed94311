"""When two questions are the same, on pairs of texts that are or are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.tasks import get_task
from meshtune.tasks.base import Question
from meshtune.tasks.same import Marks, plain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who is the Prime Minister of India", "who is the prime  minister of India?"),
        ("“Quoted” text", '"quoted" text'),
        ("Ｈｅｌｌｏ！", "hello"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "CAFÉ"),
        ("covid-19", "Covid 19"),
        ("it’s \u22125 degrees", "it's -5 degrees"),
        ("**bold**", "bold"),
        ("a\r\nb", "a b"),
    ],
)
def test_the_way_it_is_written_does_not_count(one: str, other: str) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 3 plus 4?", "What is 3 plus 5?"),
        ("What is 1.5 x 2?", "What is 15 x 2?"),
        ("3 4", "34"),
        ("3 - 4", "3 + 4"),
        ("it is -5", "it is 5"),
        ("What is C?", "What is C++?"),
        ("What is C?", "What is C#?"),
        ("5% of it", "5 of it"),
        ("a < b", "a > b"),
        ("?!", "..."),
        ("\u0915\u093f", "\u0915\u0940"),
    ],
)
def test_words_digits_and_signs_count(one: str, other: str) -> None:
    assert plain(one) != plain(other)


@given(st.text(alphabet="ab1 2.-?", max_size=20))
def test_case_and_space_never_count_and_nothing_is_lost_twice(text: str) -> None:
    assert plain(text.upper()) == plain(text) == plain(f"  {text.replace(' ', '  ')}\n")
    if any(char.isalnum() for char in text):
        assert [c for c in plain(text) if c.isalnum()] == [c for c in text.lower() if c.isalnum()]


def piqa(goal: str, *options: str, right: int = 0) -> Question:
    return get_task("piqa").question({"goal": goal, "sol1": options[0], "sol2": options[1], "label": right})


def same(one: Question, other: Question) -> bool:
    marks = Marks()
    return bool(set(marks(one)) & set(marks(other)))


def test_a_prompt_alone_does_not_make_a_multiple_choice_question() -> None:
    assert same(piqa("Cut it.", "saw", "spoon"), piqa("cut it", "Spoon", "saw", right=1))
    assert same(piqa("Cut it.", "saw", "spoon"), piqa("Cut it.", "saw", "fork"))  # the text that is trained on
    assert same(piqa("Cut it.", "saw", "spoon"), piqa("Cut it.", "saw", "spoon", right=1))
    assert not same(piqa("Cut it.", "saw", "spoon"), piqa("Cut it.", "knife", "spoon"))
    assert not same(piqa("Cut it.", "saw", "spoon"), piqa("Cut them.", "saw", "spoon"))


def test_the_same_question_about_another_passage_is_another() -> None:
    rows = [
        {"question": "is it red", "passage": f"It is {colour}.", "answer": True} for colour in ("red", "blue", "RED")
    ]
    one, other, again = (get_task("boolq").question(row) for row in rows)
    assert not same(one, other)
    assert same(one, again)


def test_a_written_question_is_its_prompt_whatever_the_reference_and_the_template() -> None:
    task = get_task("dolly_open_qa")
    one = task.question({"instruction": "Why?", "response": "So."})
    assert same(one, task.question({"instruction": "why", "response": "Because."}, "own"))
    assert not same(one, task.question({"instruction": "Why not?", "response": "So."}))


def test_programs_are_compared_with_their_signs() -> None:
    row = {"text": "Check brackets.", "code": "def f(s): pass", "test_setup_code": ""}
    made = [get_task("mbpp").question({**row, "test_list": [f"assert f('{b}') is None"]}) for b in ("(", "<", "( ")]
    assert not same(made[0], made[1])
    assert same(made[0], made[2])
