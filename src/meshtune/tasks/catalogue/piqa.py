"""PIQA (Bisk et al. 2020): a goal and two ways to reach it, one of which works."""

from __future__ import annotations

from typing import ClassVar

from meshtune.tasks.base import VALIDATION_AS_TEST, Task, TaskRow, index, text


class PIQA(Task):
    """Physical common sense with two options."""

    name = "piqa"
    hub_id = "ybisk/piqa"
    # The main branch is a loading script, which `datasets` 4 and later refuse; this is the hub's conversion.
    hub_revision = "refs/convert/parquet"
    splits = VALIDATION_AS_TEST
    fields = ("goal", "sol1", "sol2", "label")
    licence = "AFL 3.0"
    example: ClassVar = {
        "goal": "Keep a door from slamming.",
        "sol1": "Push a wedge under it.",
        "sol2": "Push a feather under it.",
        "label": 0,
    }

    def body(self, row: TaskRow) -> str:
        """The goal."""
        return text(row, "goal")

    def own_prompt(self, row: TaskRow) -> str:
        """The goal between ``Question:`` and ``Answer:``."""
        return f"Question: {text(row, 'goal')}\nAnswer:"

    def options(self, row: TaskRow) -> tuple[str, ...]:
        """The two solutions."""
        return (text(row, "sol1", may_be_empty=True), text(row, "sol2", may_be_empty=True))

    def answer(self, row: TaskRow) -> int:
        """The label."""
        return index(row, "label")
