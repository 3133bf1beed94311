"""MBPP: what a row asks for, what checks it, and which part of an answer is run."""

from __future__ import annotations

from typing import Any

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from running import passes

ROW = {
    "task_id": 11,
    "text": "Write a function to triple a number. ",
    "code": "import math\r\ndef triple(x): \r\n\treturn 3 * x\r",
    "test_list": ["assert triple(2) == 6", "assert triple(-1) == -3\n"],
    "test_setup_code": "y = 1\r\nz = y",
    "challenge_test_list": [],
}
TESTS = "assert triple(2) == 6\nassert triple(-1) == -3"


def test_a_row_as_a_question() -> None:
    shared = f"Question: Write a function to triple a number.\nThe code must pass these tests:\n{TESTS}\nAnswer:"
    own = (
        "You are an expert Python programmer, and here is your task: Write a function to triple a number. "
        f"Your code should pass these tests:\n\n{TESTS}\n[BEGIN]"
    )
    options, check = ("import math\ndef triple(x): \n\treturn 3 * x",), f"y = 1\nz = y\n{TESTS}"
    check_question(ROW, Question("11", "mbpp", shared, options, 0, True, True, "\nQuestion:", check), own)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"code": "def triple(x) return"}, "field 'code' is not a Python program"),
        ({"code": " "}, "field 'code' is empty"),
        ({"test_list": "assert True"}, "field 'test_list' is \"assert True\", not a list of texts"),
        ({"test_list": ["assert"]}, "field 'test_list' is not a Python program"),
        ({"test_list": []}, "field 'test_list' is empty: fill it in or drop the row"),
        ({"test_setup_code": "x ="}, "field 'test_setup_code' is not a Python program"),
        ({"test_setup_code": None}, "field 'test_setup_code' is null, not text"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("mbpp", ROW, **change).startswith(why)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("def triple(x):\n    return 3 * x", True),
        ("def triple(x):\n\treturn x * 3\n\nprint(triple(1))", True),
        ("triple = lambda x: 3 * x", True),
        ("from operator import mul\ndef triple(x): return mul(3, x)", True),
        ("```python\ndef triple(x):\n    return 3 * x\n```", True),
        ("Here is the function:\n```python\ndef triple(x):\n    return 3 * x\n```\nIt multiplies by 3.", True),
        ("def triple(x):\n    return 3 * x\n```\nThis is it.", True),
        ("  ```\n  def triple(x):\n      return 3 * x\n  ```", True),
        ("def triple(x):\n    return 3 * x\n\ndef other(x):\n    return [x,", True),
        ("def triple(x):\n    return 3 * x\nThis multiplies.", True),
        ("def triple(x):\n    return 2 * x", False),
        ("def thrice(x):\n    return 3 * x", False),
        ("def triple(x):\n    return 3 *", False),
        ("Multiply by three.", False),
        ("", False),
        ("```\n```", False),
    ],
)
def test_it_runs_the_program_that_is_in_the_answer(text: str, right: bool) -> None:
    assert passes(get_task("mbpp").question({**ROW, "test_setup_code": ""}), text) is right


def test_it_sets_up_behind_the_program() -> None:
    """As the rows whose setup makes objects of the program's own classes need it."""
    row = {**ROW, "code": "class Box:\r\n\tn = 6\r\n", "test_setup_code": "box = Box()\r\nbox.n += 1"}
    question = get_task("mbpp").question({**row, "test_list": ["assert box.n == 7"]})
    assert passes(question, question.options[0])
    assert not passes(question, "class Other: pass")
