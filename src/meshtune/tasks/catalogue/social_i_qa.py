"""Social IQa (Sap et al. 2019): a short event and a question on what people feel, want or do about it."""

from __future__ import annotations

from typing import ClassVar

from meshtune.tasks.base import VALIDATION_AS_TEST, Task, TaskRow, index, text


class SocialIQA(Task):
    """Social common sense with three options; the label counts them from 1."""

    name = "social_i_qa"
    hub_id = "allenai/social_i_qa"
    # The main branch is a loading script, which `datasets` 4 and later refuse; this is the hub's conversion.
    hub_revision = "refs/convert/parquet"
    splits = VALIDATION_AS_TEST
    fields = ("context", "question", "answerA", "answerB", "answerC", "label")
    licence = "CC BY 4.0 (as third parties state it)"
    example: ClassVar = {
        "context": "Robin carried the shopping up for a neighbour.",
        "question": "How would the neighbour feel afterwards?",
        "answerA": "grateful",
        "answerB": "hungry",
        "answerC": "lost",
        "label": "1",
    }

    def body(self, row: TaskRow) -> str:
        """The event, then the question."""
        return f"{text(row, 'context')} {text(row, 'question')}"

    def own_prompt(self, row: TaskRow) -> str:
        """The event and the question between ``Q:`` and ``A:``."""
        return f"Q: {self.body(row)}\nA:"

    def options(self, row: TaskRow) -> tuple[str, ...]:
        """The answers A, B and C."""
        return (
            text(row, "answerA", may_be_empty=True),
            text(row, "answerB", may_be_empty=True),
            text(row, "answerC", may_be_empty=True),
        )

    def answer(self, row: TaskRow) -> int:
        """The label, which is text and counts from 1."""
        return index(row, "label", first=1)
