"""HellaSwag (Zellers et al. 2019): which of four sentences continues a caption or a how-to text."""

from __future__ import annotations

import re
from typing import ClassVar

from meshtune.tasks.base import VALIDATION_AS_TEST, Task, TaskRow, index, own_id, text, texts


class HellaSwag(Task):
    """Sentence completion with four options.

    The hub has the context as a whole and in two parts. The second part, the start of the sentence to complete, begins
    in lower case. If both parts are present, they are joined as evaluation harnesses do, capitalised.
    """

    name = "hellaswag"
    hub_id = "Rowan/hellaswag"
    splits = VALIDATION_AS_TEST
    fields = ("ctx", "activity_label", "endings", "label")
    licence = "MIT"
    example: ClassVar = {
        "ctx": "A man fills a kettle and switches it on. He",
        "activity_label": "Making tea",
        "endings": [
            "waits for the water to boil.",
            "paints the kettle green.",
            "rides it down the hill.",
            "folds it into a drawer.",
        ],
        "label": "0",
    }

    def body(self, row: TaskRow) -> str:
        """The text to continue, cleaned."""
        if "ctx_a" in row and "ctx_b" in row:
            return clean(f"{text(row, 'ctx_a')} {text(row, 'ctx_b', may_be_empty=True).capitalize()}")
        return clean(text(row, "ctx"))

    def own_prompt(self, row: TaskRow) -> str:
        """The activity, a colon and the text to continue; the option follows as its next words."""
        return f"{clean(text(row, 'activity_label'))}: {self.body(row)}"

    def options(self, row: TaskRow) -> list[str]:
        """The endings, cleaned."""
        return [clean(ending) for ending in texts(row, "endings")]

    def answer(self, row: TaskRow) -> int:
        """The label, which is text in this schema."""
        return index(row, "label")

    def row_id(self, row: TaskRow, number: int) -> str:
        """The source text's id and the row number, because several rows may share one source."""
        return f"{own_id(row, 'ind', number)}-{number}" if row.get("ind") is not None else str(number)


def clean(raw: str) -> str:
    """Remove the how-to texts' mark-up: a title ends a sentence; other brackets and double spaces are removed."""
    titled = raw.replace(" [title]", ". ")
    unmarked = re.sub(r"\[[^\]]*\]", "", titled)
    return re.sub(r" {2,}", " ", unmarked).strip()
