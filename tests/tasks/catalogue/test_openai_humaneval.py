"""HumanEval: a function's head to be completed, and which part of an answer is run behind it."""

from __future__ import annotations

from typing import Any

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from running import passes

ROW = {
    "task_id": "HumanEval/3",
    "prompt": '\n\ndef mid(a: int) -> int:\n    """ The middle. """\n',
    "canonical_solution": "\n    return a\n",
    "test": "\n\nX = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 1\n\n",
    "entry_point": "mid",
}
HEAD = 'def mid(a: int) -> int:\n    """ The middle. """'


def test_a_row_as_a_question() -> None:
    shared = f"Question: Complete this Python function:\n{HEAD}\nAnswer:"
    own = f"Write a solution to the following problem and make sure that it passes the tests:\n```python\n{HEAD}\n```"
    check = "X = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 1\n\ncheck(mid)"
    behind = (0, True, True, "\nQuestion:", check, HEAD)
    check_question(ROW, Question("HumanEval/3", "openai_humaneval", shared, (f"{HEAD}\n\n    return a",), *behind), own)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"prompt": "def mid(a):"}, "field 'prompt' is not a Python program"),
        ({"entry_point": "top"}, "field 'prompt' does not define top, which 'entry_point' names"),
        ({"canonical_solution": " "}, "field 'canonical_solution' is not text: fill it in or drop the row"),
        ({"canonical_solution": "return a"}, "field 'prompt' with 'canonical_solution' is not a Python"),
        ({"canonical_solution": "a = 1"}, "field 'prompt' with 'canonical_solution' is not a Python function: indent"),
        ({"test": "assert check"}, "field 'test' does not define check: add 'def check(candidate):' with the tests"),
        ({"task_id": 3}, "field 'task_id' is 3, not text"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("openai_humaneval", ROW, **change).startswith(why)


MEAN = {
    "task_id": "HumanEval/3",
    "prompt": 'import math\n\ndef half(x):\n    return x / 2\n\n\ndef mid(a, b):\n    """ The middle.\n    """\n',
    "canonical_solution": "    c = a + b\n    return half(math.fabs(c))\n",
    "test": "\n\ndef check(candidate):\n    assert candidate(1, 3) == 2\n    assert candidate(0, 0) == 0\n",
    "entry_point": "mid",
}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('import math\ndef mid(a, b):\n    """ The middle. """\n    return (a + b) / 2', True),
        ("def mid(a, b):\n    return half(a + b)", True),  # the prompt's helper is there
        ("def mid(a, b):\n    return math.fabs(a + b) / 2", True),  # and its imports
        ("```python\ndef mid(a, b):\n    return half(a + b)\n```", True),
        ("    return half(a + b)", True),
        ("\n    c = a + b\n    return half(c)", True),
        ("c = a + b\n    return half(c)", True),
        ("c = a + b\nreturn half(c)", True),
        ("if a == b:\n        return a\n    return half(a + b)", True),
        ("   return half(a + b)", True),
        ("    return half(a + b)\n\nprint(mid(1, 2))\n# and so on", True),
        ("    return half(a + b)\n\ndef mad(a", True),
        ("```\n    return half(a + b)\n```", True),
        ("    return a", False),
        ("def mid(a, b):\n    return a", False),
        ("def middle(a, b):\n    return half(a + b)", False),
        ("The middle is half of the sum.", False),
        ("", False),
    ],
)
def test_humaneval_counts_whole_functions_and_bodies(text: str, right: bool) -> None:
    assert passes(get_task("openai_humaneval").question(MEAN), text) is right
