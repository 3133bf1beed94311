"""Training rows that an exam also asks: found over all tasks, and left out, refused or kept.

A memorised question measures nothing, whichever device memorised it, because updates travel. A row counts as trained on
if ``tasks.same`` considers the two the same question. Many public data sets contain a few such rows: they are left out
of training and named. More than one in a hundred of an exam means that the splits are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshtune.data.duplicates import example
from meshtune.errors import UserError
from meshtune.tasks.base import Question
from meshtune.tasks.same import Marks

FEW = 100  # one in this many rows of an exam may be among the training rows


@dataclass(frozen=True)
class _Leak:
    """Rows of one exam among the training rows of one task.

    Attributes:
        trained: the training rows.
        asked: the exam's rows.
        pairs: for each of these the first training row that is the same.
        equal: how many of these have a training row that is the same letter by letter.
    """

    task: str
    exam: str
    trained: Sequence[Question]
    asked: Sequence[Question]
    pairs: Sequence[tuple[Question, Question]]
    equal: int


def without_leaks(
    train: Mapping[str, Sequence[Question]],
    exams: Mapping[str, Sequence[Question]],
    aside: Mapping[str, Sequence[Question]],
    policy: str,
    marks: Marks,
    facts: dict[str, dict[str, Any]],
) -> tuple[dict[str, Sequence[Question]], list[str]]:
    """Return the rows that may be trained on, and notes on the others.

    Args:
        train: training rows by task key, without held-out ones.
        exams: rows that may be asked, by exam.
        aside: held-out rows, by task key; their repeats are left out too.
        policy: ``leave_out``: do not train on asked rows; ``keep``: train on them; or ``refuse``: leave them out, but
            raise if more than one in :data:`FEW` rows of an exam is trained on.
        marks: decides which rows are the same.
        facts: receives ``leaked``, the training rows by exam, under each task key.

    Raises:
        UserError: there are too many, by the policy.
    """
    leaks = _find({key: [*aside[key], *rows] for key, rows in train.items()}, exams, marks)
    if policy == "refuse":
        _refuse(leaks, {name: len(rows) for name, rows in exams.items()})
    verb = "kept" if policy == "keep" else "not trained on"
    notes = []
    for leak in leaks:
        facts[leak.task].setdefault("leaked", {})[leak.exam] = len(leak.trained)
        notes.append(
            f"task {leak.task}: {len(leak.trained)} training rows are {verb}: {len(leak.asked)} of "
            f"{len(exams[leak.exam])} test rows of {leak.exam} ask the same, {leak.equal} of them letter by letter, "
            f"for example {example(leak.pairs)}"
        )
    if policy == "keep":
        return dict(train), notes
    repeats = _find(train, aside, marks)
    for leak in repeats:
        facts[leak.task].setdefault("repeats_validation", {})[leak.exam] = len(leak.trained)
        notes.append(
            f"task {leak.task}: {len(leak.trained)} training rows are not trained on: they repeat rows of "
            f"{leak.exam} that are set aside, for example {example(leak.pairs)}"
        )
    gone = {id(trained) for leak in (*leaks, *repeats) for trained in leak.trained}
    return {key: [row for row in rows if id(row) not in gone] for key, rows in train.items()}, notes


def _find(
    train: Mapping[str, Sequence[Question]], exams: Mapping[str, Sequence[Question]], marks: Marks
) -> list[_Leak]:
    tested = {name: {mark for row in rows for mark in marks(row)} for name, rows in exams.items()}
    found = []
    for key, rows in train.items():
        first: dict[bytes, Question] = {}
        for row in rows:
            for mark in marks(row):
                first.setdefault(mark, row)
        letters = {_letters(row) for row in rows}
        for name, known in tested.items():
            if known.isdisjoint(first):
                continue
            asked = [row for row in exams[name] if not first.keys().isdisjoint(marks(row))]
            pairs = [(next(first[mark] for mark in marks(row) if mark in first), row) for row in asked]
            trained = [row for row in rows if not known.isdisjoint(marks(row))]
            found.append(_Leak(key, name, trained, asked, pairs, sum(_letters(row) in letters for row in asked)))
    return found


def _letters(question: Question) -> tuple[str, tuple[str, ...]]:
    return question.asked or question.prompt, question.options


def _refuse(leaks: Sequence[_Leak], sizes: Mapping[str, int]) -> None:
    bad = [leak for leak in leaks if len(leak.asked) * FEW > sizes[leak.exam]]
    if not bad:
        return
    worst = max(bad, key=lambda leak: len(leak.asked) / sizes[leak.exam])
    more = f" (and of {len(bad) - 1} further pairs of task and exam)" if len(bad) > 1 else ""
    raise UserError(
        f"{len(worst.asked)} of {sizes[worst.exam]} test rows of {worst.exam} are also training rows of task "
        f"{worst.task}{more}, {worst.equal} of them letter by letter, for example {example(worst.pairs)}: give other "
        "rows, or set leaked_rows=leave_out to train without them, leaked_rows=keep to train on them all the same"
    )
