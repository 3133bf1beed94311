"""The rows of a run's tasks: rows to train on, held-out rows for choosing settings, and rows that may be asked.

All are read and checked before a model is loaded. A task without a test split gets one from its training rows, drawn by
the run's seed; questions that ask the same stay on one side. ``data.leakage`` finds training rows that are also asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshtune.config.config_file import expand
from meshtune.config.federation_config import TaskConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.duplicates import counted
from meshtune.data.leakage import without_leaks
from meshtune.errors import UserError
from meshtune.seeds import stream
from meshtune.tasks.base import Question
from meshtune.tasks.generated import GeneratedTask
from meshtune.tasks.loader import LoadedSplit, has_split, read
from meshtune.tasks.registry import get_task
from meshtune.tasks.same import Marks, asked

SET_ASIDE = (10, 100)  # by default one row in 10 is held out for choosing settings, 100 at most
TESTED = (5, 500)  # for a task without a test split, one row in 5 is for testing, 500 at most


@dataclass(frozen=True)
class Pools:
    """Every task's rows.

    Attributes:
        train: by the key of every task that a device learns, in a fixed random order, without held-out rows.
        aside: by task key: the held-out rows.
        exams: by exam, in a fixed random order: the rows that may be asked.
        notes: sentences about the rows.
        facts: the counts behind the notes, by task key or exam.
    """

    train: Mapping[str, Sequence[Question]]
    aside: Mapping[str, Sequence[Question]]
    exams: Mapping[str, Sequence[Question]]
    notes: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class _Side:
    """One side of a task, training or test.

    Attributes:
        questions: in their random order.
        found: in the order of the file.
        left_out: rows that are not questions of the task, by what they are.
        cut: whether it was drawn from the training rows.
    """

    questions: list[Question]
    found: list[Question]
    left_out: Mapping[str, int]
    cut: bool = False


def gather(config: RunConfig) -> Pools:
    """Return the rows of every task of a run.

    Raises:
        UserError: a split is missing or broken, nothing is left of it, or too many training rows are also asked.
    """
    train: dict[str, Sequence[Question]] = {}
    aside: dict[str, Sequence[Question]] = {}
    exams: dict[str, Sequence[Question]] = {}
    facts: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    marks = Marks()
    for task in config.tasks:
        side = _train_side(config, task)
        count = set_aside(config, len(side.questions))
        aside[task.key], train[task.key] = side.questions[:count], side.questions[count:]
        facts[task.key] = {"validation": count}
        notes += counted(task.key, "train", side.found, side.left_out, marks, facts[task.key])
        if config.eval.split == "validation":
            exams[task.key] = _asked_of(config, task, aside[task.key])
            continue
        for name in (task.key, *task.also):
            tested = _test_side(config, task if name == task.key else TaskConfig(task=name))
            exams[name] = tested.questions
            notes += counted(name, "test", tested.found, tested.left_out, marks, facts.setdefault(name, {}))
            if tested.cut:
                facts[name]["test_from_train"] = True
                whole = len(side.questions) + len(tested.questions)
                notes.append(
                    f"task {name} has no test split: {len(tested.questions)} of its {whole} training rows, drawn by "
                    "the run's seed, are for testing and never trained on"
                )
    tested_rows = {} if config.eval.split == "validation" else exams
    learnt = {task.key for task in config.device_tasks}
    train = {key: rows for key, rows in train.items() if key in learnt}
    train, told = without_leaks(train, tested_rows, aside, config.leaked_rows, marks, facts)
    for key, rows in train.items():
        facts[key]["train"] = len(rows)
    for name, rows in exams.items():
        facts.setdefault(name, {})["test"] = len(rows)
    return Pools(train, aside, exams, (*notes, *told), facts)


def exam_rows(config: RunConfig) -> dict[str, Sequence[Question]]:
    """Return only the ``exams`` of :func:`gather`, reading and checking nothing else."""
    if config.eval.split == "validation":
        result: dict[str, Sequence[Question]] = {}
        for task in config.tasks:
            questions = _train_side(config, task).questions
            result[task.key] = _asked_of(config, task, questions[: set_aside(config, len(questions))])
        return result
    asked_of = {task.key: task for task in config.tasks}
    asked_of |= {name: TaskConfig(task=name) for task in config.tasks for name in task.also}
    return {name: _test_side(config, asked_of[name]).questions for name in config.exams}


def set_aside(config: RunConfig, rows: int) -> int:
    """Return how many of a task's training ``rows`` are held out."""
    part, most = SET_ASIDE
    return min(rows // part, most) if config.validation is None else config.validation


def _asked_of(config: RunConfig, task: TaskConfig, rows: Sequence[Question]) -> Sequence[Question]:
    if not rows:
        raise UserError(f"task {task.key}: no {config.eval.split} questions: set validation above 0")
    return rows


def _train_side(config: RunConfig, task: TaskConfig) -> _Side:
    found = _read(config, task, "train")
    rows = found.questions if _has_test(config, task) else _cut(config, task, found)[0]
    return _Side(_shuffled(config, task, "train", rows), rows, found.left_out)


def _test_side(config: RunConfig, task: TaskConfig) -> _Side:
    if _has_test(config, task):
        found = _read(config, task, "test")
        return _Side(_shuffled(config, task, "test", found.questions), found.questions, found.left_out)
    rows = _cut(config, task, _read(config, task, "train"))[1]
    return _Side(_shuffled(config, task, "test", rows), rows, {}, cut=True)


def _shuffled(config: RunConfig, task: TaskConfig, split: str, rows: Sequence[Question]) -> list[Question]:
    order = stream(config.seed, "data", task.task, split).permutation(len(rows))
    return [rows[int(i)] for i in order]


def _cut(config: RunConfig, task: TaskConfig, found: LoadedSplit) -> tuple[list[Question], list[Question]]:
    """Return the rows for training and for testing, keeping rows that ask the same together."""
    groups: dict[str, list[Question]] = {}
    for question in found.questions:
        groups.setdefault(asked(question), []).append(question)
    if len(groups) < 2:
        raise UserError(
            f"task {task.key}: {found.name} has one row, or rows that all ask the same, and there is no test split: "
            "give a test file"
        )
    part, most = TESTED
    wanted = min(max(1, len(found.questions) // part), most)
    drawn = list(groups.values())
    drawn = [drawn[int(i)] for i in stream(config.seed, "data", task.task, "cut").permutation(len(drawn))]
    smallest = min(drawn, key=len)
    chosen: set[str] = set()
    for group in drawn:
        if len(chosen) + len(group) <= wanted or (group is smallest and len(group) > wanted):
            chosen |= {question.id for question in group}
    return (
        [question for question in found.questions if question.id not in chosen],
        [question for question in found.questions if question.id in chosen],
    )


def _source(config: RunConfig, task: TaskConfig, split: str) -> str | None:
    file = task.train if split == "train" else task.test
    shared = None if isinstance(get_task(task.task), GeneratedTask) else config.data
    source = file or task.source or shared
    return expand(source) if source else None


def _has_test(config: RunConfig, task: TaskConfig) -> bool:
    """Tell whether a task has its own test rows; if training rows are missing too, reading reports it."""
    if task.test or has_split(task.task, "test", _source(config, task, "test")):
        return True
    return not has_split(task.task, "train", _source(config, task, "train"))


def _read(config: RunConfig, task: TaskConfig, split: str) -> LoadedSplit:
    return read(task.task, split, _source(config, task, split), config.template)
