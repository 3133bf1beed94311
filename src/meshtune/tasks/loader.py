"""Where questions come from: JSON-lines files of a task's schema, the hub, or the task itself where it makes them.

Files are read line by line and no further than needed; every fault in them is reported with the file, the
line and the field. The hub is asked through ``datasets``, which is imported only then.
"""

from __future__ import annotations

import gzip
import importlib
import itertools
import json
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from meshtune.errors import UserError
from meshtune.tasks.base import EmptyOptionError, Question, Task, check_template
from meshtune.tasks.generated import GeneratedTask
from meshtune.tasks.registry import get_task

HUB = "hub"
GENERATED = "generated"
POOL = {"train": 2000, "test": 500}  # rows that are made of a generated task
VARIABLE = "MESHTUNE_DATA"
SPLITS = ("train", "test")
_ENDINGS = (".jsonl", ".jsonl.gz")


class _Numbered(NamedTuple):
    """A row with its number (from 0) and the words that name its place in an error."""

    number: int
    where: str
    row: dict[str, Any]


def load(
    task_name: str,
    split: str,
    source: str | Path | None = None,
    template: str = "shared",
) -> list[Question]:
    """Return the questions of one split of a task, in the order of its rows.

    Args:
        task_name: a name of :data:`meshtune.tasks.registry.TASKS`.
        split: ``train`` or ``test``.
        source: ``None`` (the folder in the environment variable MESHTUNE_DATA if set, else the hub);
            ``"hub"``; ``"generated"`` or ``"generated:SEED"`` for a task that makes its own rows (its default);
            a folder that holds ``<task>/<split>.jsonl`` or ``<split>.jsonl``, each also as
            ``.jsonl.gz``; or one such file.
        template: ``shared`` or ``own``.

    Raises:
        UserError: unknown task, split or template; no such file; a file that is empty, is
            not JSON or lacks a field; a wrong type; an answer out of range; an id that occurs twice; the hub
            cannot be reached.

    Rows of the hub that have an empty option are left out with a warning: the user cannot mend them.
    """
    task = get_task(task_name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of task {task.name}: choose one of {', '.join(SPLITS)}")
    check_template(template)
    generated = isinstance(task, GeneratedTask)
    default = GENERATED if generated else os.environ.get(VARIABLE) or HUB
    chosen = str(source if source is not None else default)
    on_hub = chosen == HUB
    if chosen.partition(":")[0] == GENERATED or (generated and on_hub):
        name, rows, on_hub = f"{task.name} ({split})", _made_rows(task, split, chosen), False
    elif on_hub:
        if split not in task.splits:
            raise UserError(f"{task.hub_id} has no {split} split: give a .jsonl file of task {task.name}")
        name, rows = f"{task.hub_id} ({task.splits[split]})", _hub_rows(task, split)
    else:
        path = _find(task, split, Path(chosen).expanduser(), from_variable=source is None)
        name, rows = str(path), _file_rows(path)
    questions = _questions(task, rows, template, skip_empty=on_hub)
    if not questions:
        raise UserError(f"{name} holds no question of task {task.name}: check the file or choose another source")
    return questions


def _made_rows(task: Task, split: str, source: str) -> Iterator[_Numbered]:
    """Return the first rows that a generated task makes."""
    seed = source.partition(":")[2] or "0"
    if not isinstance(task, GeneratedTask):
        raise UserError(f"task {task.name} makes no questions of its own: give a folder, a .jsonl file or {HUB!r}")
    if not re.fullmatch("[0-9]{1,9}", seed):
        raise UserError(f"the source of task {task.name} is {source}: after the colon stands a whole number, the seed")
    made = itertools.islice(task.rows(split, int(seed)), POOL[split])
    return (_Numbered(i, f"{task.name} ({split}) row {i + 1}", dict(row)) for i, row in enumerate(made))


def _questions(task: Task, rows: Iterator[_Numbered], template: str, skip_empty: bool) -> list[Question]:
    """Turn rows into questions, adding the place of the row to any error."""
    questions: list[Question] = []
    places: dict[str, str] = {}
    skipped = 0
    for number, where, row in rows:
        if not task.keep(row):
            continue
        try:
            question = task.question(row, template, number)
        except EmptyOptionError as error:
            if not skip_empty:
                raise UserError(f"{where}: {error}") from error
            skipped += 1
            continue
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if question.id in places:
            raise UserError(f"{where}: id {question.id!r} was already used at {places[question.id]}: ids must differ")
        places[question.id] = where
        questions.append(question)
    if skipped:
        warnings.warn(f"left out {skipped} rows of {task.hub_id} with an empty answer option", stacklevel=3)
    return questions


def _find(task: Task, split: str, source: Path, from_variable: bool) -> Path:
    """Return the file of a split, or raise a UserError that says what was looked for."""
    said = f"{VARIABLE}={source}" if from_variable else str(source)
    if source.is_file():
        if not source.name.endswith(_ENDINGS):
            raise UserError(f"data of task {task.name}: {said} is not a .jsonl or .jsonl.gz file")
        return source
    if not source.is_dir():
        raise UserError(f"data of task {task.name}: {said} does not exist: give a folder, a .jsonl file or {HUB!r}")
    names = [f"{folder}{split}{ending}" for folder in (f"{task.name}/", "") for ending in _ENDINGS]
    for name in names:
        if (source / name).is_file():
            return source / name
    raise UserError(f"data of task {task.name}: {said} holds none of {', '.join(names)}")


def _file_rows(path: Path) -> Iterator[_Numbered]:
    """Read the rows of a JSON-lines file; blank lines are passed over."""
    number = 0
    line_number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for line_number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{path} line {line_number}"
                yield _Numbered(number, where, _row(line, where))
                number += 1
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read after line {line_number}: {error}: check or replace the file"
        ) from error


def _row(line: bytes, where: str) -> dict[str, Any]:
    """Parse one line; a fault is a UserError."""
    try:
        row = json.loads(line.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: broken JSON, {error.msg} at column {error.colno}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # not UTF-8, a number of thousands of digits, nesting without end
        raise UserError(f"{where}: cannot be read as JSON in UTF-8: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: a row must be a JSON object, this is a {type(row).__name__}")
    return row


def _hub_rows(task: Task, split: str) -> Iterator[_Numbered]:
    """Read the rows of a split from the hub, or from the cache that ``datasets`` keeps of it."""
    remedy = f"or give a folder of .jsonl files as the data source or in {VARIABLE}"
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"data of task {task.name}: the hub needs the package 'datasets': install it, {remedy}"
        ) from error
    hub_split = task.splits[split]
    try:
        table = datasets.load_dataset(task.hub_id, task.hub_config, split=hub_split, revision=task.hub_revision)
        if "image" in table.column_names:
            # Only whether there is an image matters: decoding them would need minutes and another package.
            table = table.cast_column("image", datasets.Image(decode=False))
    except Exception as error:  # the hub's client lets through the errors of several network libraries
        raise UserError(
            f"data of task {task.name}: cannot load {task.hub_id} ({hub_split}) from the hub "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): check the connection, {remedy}"
        ) from error
    for number, row in enumerate(table):
        if task.part(row) in (None, split):
            yield _Numbered(number, f"{task.hub_id} ({hub_split}) row {number + 1}", dict(row))
