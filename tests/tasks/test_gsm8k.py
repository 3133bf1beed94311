"""Which number a solution ends in, on texts as models write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.catalogue.gsm8k import final_number

ROW = {"question": "Ann has 3 bags of 6. How many?", "answer": "3 * 6 = <<3*6=18>>18\n#### 18"}


def test_a_row_as_a_question() -> None:
    shared = "Question: Ann has 3 bags of 6. How many?\nAnswer:"
    row, options = {**ROW, "answer": f"{ROW['answer']} "}, ("3 * 6 = <<3*6=18>>18\n#### 18",)
    check_question(row, Question("3", "gsm8k", shared, options, 0, True, True, "\nQuestion:"), shared)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"question": ""}, "field 'question' is empty: fill it in or drop the row"),
        ({"answer": "It is 18."}, "field 'answer' has no number behind ####"),
        ({"answer": "18\n#### many"}, "field 'answer' has no number behind ####"),
        ({"answer": 18}, "field 'answer' is 18, not text"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("gsm8k", ROW, **change).startswith(why)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("3 * 6 = 18\n#### 18", True),
        ("#### 18.0", True),
        ("####18", True),
        ("#### $18.00.", True),
        ("#### 18 apples, not 20", True),
        ("#### 18\n\nSo 3 bags hold 18, and 4 hold 24", True),
        ("She has 3 bags, so the answer is 18.", True),
        ("The answer is $18", True),
        ("####\nso it is 18", True),
        ("#### 19", False),
        ("#### -18", False),
        ("#### 1,8", False),
        ("18 in all\n#### 3", False),
        ("180", False),
        ("It is eighteen", False),
        ("", False),
        ("####", False),
        ("18 of 20", False),
    ],
)
def test_the_number_is_judged(text: str, right: bool) -> None:
    task = get_task("gsm8k")
    question = task.question(ROW)
    assert task.judge(question, text) is right
    assert task.grade([question], [text]) == [{"acc": float(right)}]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 1,450,000", "1450000"),
        ("a total of $27,200.50 a year", "27200.5"),
        ("#### -47", "-47"),
        ("from 50 to -3", "-3"),
        ("20-3", "3"),
        ("20 - 3", "3"),
        (".5 or so", "0.5"),
        ("3/4", "0.75"),
        ("costs $-5", "-5"),
        ("-$5", "-5"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: str) -> None:
    assert final_number(text) == Decimal(number)


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "{:,}", "{}.", "{}.0", "${:,}.00", "{} miles"]))
def test_every_number_is_read_behind_the_mark_and_at_the_end(number: int, form: str) -> None:
    written = form.format(number)
    assert final_number(f"2 + 2 = 4\n#### {written}") == number
    assert final_number(f"first 7, then {written}") == number
