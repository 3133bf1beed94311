"""A written task for tests: sums in words. Random models say nothing sensible, so its judge looks at the length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshtune.tasks import registry
from meshtune.tasks.base import PUBLIC_TEST, Question, Task, TaskRow, text


class Adding(Task):
    """Right is what has an even number of characters."""

    name = "adding"
    hub_id = "nobody/adding"
    splits = PUBLIC_TEST
    fields = ("sum", "result")
    licence = "none"
    written = True
    longest_answer = 5

    def body(self, row: TaskRow) -> str:
        return f"How much is {text(row, 'sum')}?"

    def own_prompt(self, row: TaskRow) -> str:
        return f"{text(row, 'sum')} ="

    def options(self, row: TaskRow) -> tuple[str]:
        return (text(row, "result"),)

    def answer(self, row: TaskRow) -> int:
        return 0

    def judge(self, question: Question, text: str) -> bool:
        return len(text) % 2 == 0


def register(patch: pytest.MonkeyPatch) -> None:
    """Make ``adding`` a known task until ``patch`` is undone."""
    patch.setitem(registry._CLASSES, "adding", "Adding")
    patch.setitem(registry.TASKS._made, "adding", Adding())  # type: ignore[attr-defined]


def write_data(folder: Path) -> Path:
    """Write the splits of ``adding`` into ``folder`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, numbers in {"train": range(20), "test": range(50, 60)}.items():
        rows = [{"sum": f"{n} and {n * n % 17}", "result": str(n + n * n % 17)} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
