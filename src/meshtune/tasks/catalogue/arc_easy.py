"""ARC-Easy (Clark et al. 2018): grade-school science questions, and the schema that ARC-Challenge shares."""

from __future__ import annotations

from typing import ClassVar

from meshtune.errors import UserError
from meshtune.printable import printable
from meshtune.tasks.base import PUBLIC_TEST, Task, TaskRow, own_id, shown, text, texts


class ArcEasy(Task):
    """Science questions with three to five options, labelled A to E or 1 to 5."""

    name = "arc_easy"
    hub_id = "allenai/ai2_arc"
    hub_config: ClassVar[str | None] = "ARC-Easy"
    splits = PUBLIC_TEST
    fields = ("question", "choices", "answerKey")
    licence = "CC BY-SA 4.0"
    choices = "3 to 5"
    chance = 0.25
    example: ClassVar = {
        "id": "mine-1",
        "question": "Which of these gives off its own light?",
        "choices": {"text": ["the Sun", "the Moon", "a mirror"], "label": ["A", "B", "C"]},
        "answerKey": "A",
    }

    def body(self, row: TaskRow) -> str:
        """The question."""
        return text(row, "question")

    def own_prompt(self, row: TaskRow) -> str:
        """The question between ``Question:`` and ``Answer:``."""
        return f"Question: {text(row, 'question')}\nAnswer:"

    def options(self, row: TaskRow) -> list[str]:
        """The texts of ``choices``."""
        return texts(_choices(row), "text")

    def answer(self, row: TaskRow) -> int:
        """The index of ``answerKey`` among the labels, whichever labels the row uses."""
        labels = texts(_choices(row), "label")
        key = text(row, "answerKey")
        if len(labels) != len(self.options(row)):
            raise UserError(f"field 'choices' has {len(self.options(row))} texts but {len(labels)} labels")
        if key not in labels:
            raise UserError(
                f"field 'answerKey' is {shown(key)}, which is none of the labels {printable(', '.join(labels), 40)}"
            )
        if labels.count(key) > 1:
            raise UserError(
                f"field 'answerKey' is {shown(key)}, and several options are labelled so: give each its own"
            )
        return labels.index(key)

    def row_id(self, row: TaskRow, number: int) -> str:
        """The question's id in ARC."""
        return own_id(row, "id", number)


def _choices(row: TaskRow) -> TaskRow:
    choices = row["choices"]
    if not isinstance(choices, dict) or not {"text", "label"} <= choices.keys():
        raise UserError("field 'choices' is not an object with the lists 'text' and 'label'")
    return choices
