"""ScienceQA (Lu et al. 2022), its text-only rows: school questions over many subjects, some with a hint."""

from __future__ import annotations

from typing import ClassVar

from meshtune.tasks.base import PUBLIC_TEST, Task, TaskRow, index, own_id, text, texts


class ScienceQA(Task):
    """School questions with two to five options; rows with an image are left out."""

    name = "scienceqa"
    hub_id = "derek-thomas/ScienceQA"
    splits = PUBLIC_TEST
    fields = ("question", "choices", "answer", "hint")
    licence = "CC BY-NC-SA 4.0 (not for commercial use)"
    choices = "2 to 5"
    chance = 0.44  # of over 600 text-only test questions
    others = "with an image"
    example: ClassVar = {
        "question": "Which of these is a solid at room temperature?",
        "choices": ["water", "iron", "air"],
        "answer": 1,
        "hint": "A solid keeps its shape.",
    }

    def body(self, row: TaskRow) -> str:
        """The hint, if any, then the question."""
        return f"{_hint(row)}\n{text(row, 'question')}".strip()

    def own_prompt(self, row: TaskRow) -> str:
        """The hint as ``Context:``, if any, then the question."""
        context = f"Context: {_hint(row)}\n" if _hint(row) else ""
        return f"{context}Question: {text(row, 'question')}\nAnswer:"

    def options(self, row: TaskRow) -> list[str]:
        """The choices."""
        return texts(row, "choices")

    def answer(self, row: TaskRow) -> int:
        """The answer, an index already."""
        return index(row, "answer")

    def row_id(self, row: TaskRow, number: int) -> str:
        """The problem's id if the row has it (the hub's rows do not)."""
        return own_id(row, "pid", number)

    def keep(self, row: TaskRow) -> bool:
        """Leave out the rows with an image."""
        return row.get("image") is None


def _hint(row: TaskRow) -> str:
    return text(row, "hint", may_be_empty=True)
