"""Runs what a task makes of an answer that is a program. Nothing is isolated here."""

from __future__ import annotations

from typing import Any

from meshtune.tasks import get_task
from meshtune.tasks.base import Question
from meshtune.tasks.code import CodeTask


def passes(question: Question, text: str) -> bool:
    task = get_task(question.task)
    assert isinstance(task, CodeTask)
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(f"{task.program(question, text)}\n{question.check}", names)
    except Exception:
        return False
    return True
