"""What of a written answer is run: fences, remarks, cut ends, whole functions and bodies. Nothing is isolated here."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.tasks import get_task
from meshtune.tasks.base import Question
from meshtune.tasks.code import CodeTask, longest_program, pieces

TRIPLE = {
    "task_id": 11,
    "text": "Write a function to triple a number.",
    "code": "def triple(x):\r\n\treturn 3 * x\r\n",
    "test_list": ["assert triple(2) == 6", "assert triple(-1) == -3"],
    "test_setup_code": "",
}
MEAN = {
    "task_id": "HumanEval/3",
    "prompt": 'import math\n\ndef half(x):\n    return x / 2\n\n\ndef mid(a, b):\n    """ The middle.\n    """\n',
    "canonical_solution": "    c = a + b\n    return half(math.fabs(c))\n",
    "test": "\n\ndef check(candidate):\n    assert candidate(1, 3) == 2\n    assert candidate(0, 0) == 0\n",
    "entry_point": "mid",
}


def passes(question: Question, text: str) -> bool:
    task = get_task(question.task)
    assert isinstance(task, CodeTask)
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(f"{task.program(question, text)}\n{question.check}", names)
    except Exception:
        return False
    return True


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
def test_mbpp_runs_the_program_that_is_in_the_answer(text: str, right: bool) -> None:
    assert passes(get_task("mbpp").question(TRIPLE), text) is right


def test_mbpp_sets_up_behind_the_program() -> None:
    """As the rows whose setup makes objects of the program's own classes need it."""
    row = {**TRIPLE, "code": "class Box:\r\n\tn = 6\r\n", "test_setup_code": "box = Box()\r\nbox.n += 1"}
    question = get_task("mbpp").question({**row, "test_list": ["assert box.n == 7"]})
    assert passes(question, question.options[0])
    assert not passes(question, "class Other: pass")


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


def test_what_is_a_program() -> None:
    assert longest_program("x = 1\ny = '\\d'\nz = (")[0] == "x = 1\ny = '\\d'"
    assert longest_program("one two\nx = 1")[0] == ""
    for monster in ("(" * 5000, "-" * 100_000 + "1", "x = 1\0", "\ud800"):
        assert longest_program(monster)[0] == ""
    assert pieces("a\n```py\nb\n\n  ```\nc") == ["a", "b", "c"]


def test_equal_programs_run_once_and_each_answer_has_its_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType, SimpleNamespace

    ran: list[str] = []

    def run_programs(programs: list[str], unsafe: bool) -> list[Any]:
        assert unsafe
        ran.extend(programs)
        return [SimpleNamespace(passed="3 * x" in program) for program in programs]

    stand_in = ModuleType("meshtune.sandbox.execution")
    stand_in.run_programs = run_programs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "meshtune.sandbox.execution", stand_in)
    task = get_task("mbpp")
    question = task.question(TRIPLE)
    texts = [f"def triple(x):\n    return {n} * x" for n in (3, 2, 3)]
    assert task.grade([question] * 3, texts, unsafe=True) == [{"acc": 1.0}, {"acc": 0.0}, {"acc": 1.0}]
    assert ran == [f"{text}\n\n{question.check}\n" for text in texts[:2]]
