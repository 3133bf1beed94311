"""What of a written answer is a program, and that equal programs run once."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.tasks import get_task
from meshtune.tasks.code import longest_program, pieces

TRIPLE = {
    "task_id": 11,
    "text": "Write a function to triple a number.",
    "code": "def triple(x):\r\n\treturn 3 * x\r\n",
    "test_list": ["assert triple(2) == 6", "assert triple(-1) == -3"],
    "test_setup_code": "",
}


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
