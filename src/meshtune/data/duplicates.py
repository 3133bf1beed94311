"""Notes on one split: rows that are not questions of the task, that repeat others, or that have equal options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshtune.tasks.base import Question
from meshtune.tasks.same import Marks, plain

_NAMES = {"train": "training", "test": "test"}


def counted(
    name: str,
    split: str,
    questions: Sequence[Question],
    left_out: Mapping[str, int],
    marks: Marks,
    facts: dict[str, Any],
) -> list[str]:
    """Return the notes on the rows of a split, and add the counts to ``facts``; no notes if there is nothing to report.

    Args:
        name: the task key or the exam.
        split: ``train`` or ``test``.
        questions: its rows, in the order of the file.
        marks: decides which rows are the same.
        left_out: the rows that are not questions of the task, by what they are.
        facts: receives ``left_out`` and ``repeated`` by split, and ``equal_options``.
    """
    notes = []
    kind = _NAMES[split]
    for reason, count in left_out.items():
        facts.setdefault("left_out", {}).setdefault(split, {})[reason] = count
        notes.append(f"task {name}: {count} of {count + len(questions)} {kind} rows are left out: {reason}")
    first: dict[bytes, Question] = {}
    repeats: list[tuple[Question, Question]] = []
    for question in questions:
        before = first.setdefault(marks(question)[0], question)
        if before is not question:
            repeats.append((before, question))
    if repeats:
        facts.setdefault("repeated", {})[split] = len(repeats)
        other = sum(_right(a) != _right(b) for a, b in repeats)
        differ = f", {other} of them with another answer" if other else ""
        notes.append(
            f"task {name}: {len(repeats)} of {len(questions)} {kind} rows repeat another{differ}: for example "
            f"{example(repeats)}"
        )
    twins = [q for q in questions if split == "test" and len(set(q.options)) < len(q.options)]
    if twins:
        facts["equal_options"] = len(twins)
        notes.append(
            f"task {name}: {len(twins)} of {len(questions)} test rows have equal options, the first at "
            f"{twins[0].where}: where the right answer is one of n equal ones, choosing it counts 1/n"
        )
    return notes


def example(pairs: Sequence[tuple[Question, Question]], most: int = 2) -> str:
    """Return the places of the first pairs."""
    return "; ".join(f"{one.where} and {other.where}" for one, other in pairs[:most])


def _right(question: Question) -> str:
    return plain(question.options[question.answer])
