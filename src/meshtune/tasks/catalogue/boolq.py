"""BoolQ (Clark et al. 2019): a passage and a yes/no question about it."""

from __future__ import annotations

from typing import ClassVar

from meshtune.errors import UserError
from meshtune.tasks.base import VALIDATION_AS_TEST, Task, TaskRow, shown, text


class BoolQ(Task):
    """Yes/no reading comprehension; the options are always ``("yes", "no")``."""

    name = "boolq"
    hub_id = "google/boolq"
    splits = VALIDATION_AS_TEST
    fields = ("question", "passage", "answer")
    licence = "CC BY-SA 3.0"
    example: ClassVar = {
        "question": "do owls hunt at night",
        "passage": "Most owls rest through the day and hunt after dark.",
        "answer": True,
    }

    def body(self, row: TaskRow) -> str:
        """The passage, then the question."""
        return f"{text(row, 'passage')}\n{_asked(row)}"

    def own_prompt(self, row: TaskRow) -> str:
        """The passage, then the question between ``Question:`` and ``Answer:``."""
        return f"{text(row, 'passage')}\nQuestion: {_asked(row)}\nAnswer:"

    def options(self, row: TaskRow) -> tuple[str, ...]:
        """Always yes, then no."""
        return ("yes", "no")

    def answer(self, row: TaskRow) -> int:
        """0 if the answer is true."""
        if not isinstance(row["answer"], bool):
            raise UserError(f"field 'answer' is {shown(row['answer'])}, not true or false")
        return 0 if row["answer"] else 1


def _asked(row: TaskRow) -> str:
    # The hub's questions have no question mark; a file with one must not get a second.
    return text(row, "question").rstrip("? ") + "?"
