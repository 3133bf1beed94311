"""The sources of questions: files in a task's schema, the hub, or the task itself if it generates them.

Every fault in a row is reported with file, line and field. The hub is accessed through ``datasets``, which is imported
only then.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshtune.errors import UserError
from meshtune.printable import printable
from meshtune.tasks.base import EmptyOptionError, Question, Task, check_template
from meshtune.tasks.generated import GeneratedTask
from meshtune.tasks.reading import ENDINGS, Numbered, file_rows
from meshtune.tasks.registry import get_task

HUB = "hub"
GENERATED = "generated"
POOL = {"train": 2000, "test": 500}  # rows generated for a generated task
VARIABLE = "MESHTUNE_DATA"
SPLITS = ("train", "test")
_EMPTY = "with an empty answer option"


@dataclass(frozen=True)
class LoadedSplit:
    """One split of a task.

    Attributes:
        name: where it came from.
        questions: in the order of its rows.
        left_out: rows that are not questions of the task, by what they are.
    """

    name: str
    questions: list[Question]
    left_out: Mapping[str, int]


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
            ``"hub"``; ``"generated"`` or ``"generated:SEED"`` for a task that generates its rows (its default); a
            folder that holds ``<task>/<split>.jsonl`` or ``<split>.jsonl``, each also as ``.jsonl.gz``, ``.json`` or
            ``.json.gz``; or one such file.
        template: ``shared`` or ``own``.

    Raises:
        UserError: unknown task, split or template; no such file; a file that is empty, is
            not JSON or lacks a field; a wrong type; an answer out of range; an id that occurs twice; the hub
            cannot be reached.

    Hub rows with an empty option are left out with a warning, because the user cannot fix them.
    """
    found = read(task_name, split, source, template)
    if _EMPTY in found.left_out:
        hub_id = get_task(task_name).hub_id
        warnings.warn(f"left out {found.left_out[_EMPTY]} rows of {hub_id} {_EMPTY}", stacklevel=2)
    return found.questions


def read(task_name: str, split: str, source: str | Path | None = None, template: str = "shared") -> LoadedSplit:
    """Return the questions of :func:`load`, with their origin and the rows left out; raises the same errors."""
    task = get_task(task_name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of task {task.name}: choose one of {', '.join(SPLITS)}")
    check_template(template)
    chosen = _chosen(task, source)
    on_hub = chosen == HUB
    if chosen.partition(":")[0] == GENERATED or (isinstance(task, GeneratedTask) and on_hub):
        name, rows, on_hub = f"{task.name} ({split})", _made_rows(task, split, chosen), False
    elif on_hub:
        if split not in task.splits:
            raise UserError(f"{task.hub_id} has no {split} split: give a .jsonl file of task {task.name}")
        name, rows = f"{task.hub_id} ({task.splits[split]})", _hub_rows(task, split)
    else:
        path = _find(task, split, Path(chosen).expanduser(), from_variable=source is None)
        name, rows = printable(str(path)), file_rows(path)
    questions, left_out = _questions(task, rows, template, skip_empty=on_hub)
    if not questions:
        why = "".join(f", {count} rows {reason} are left out" for reason, count in left_out.items())
        raise UserError(f"{name} holds no question of task {task.name}{why}: check the file or choose another source")
    return LoadedSplit(name, questions, left_out)


def has_split(task_name: str, split: str, source: str | Path | None = None) -> bool:
    """Tell whether a source has its own split; a single file is a train split.

    A missing source counts as having it, so that reading it raises the error.
    """
    task = get_task(task_name)
    chosen = _chosen(task, source)
    if chosen.partition(":")[0] == GENERATED or isinstance(task, GeneratedTask):
        return True
    if chosen == HUB:
        return split in task.splits
    path = Path(chosen).expanduser()
    if path.is_file():
        return split == "train"
    return not path.is_dir() or any((path / name).is_file() for name in _names(task, split))


def _chosen(task: Task, source: str | Path | None) -> str:
    """Return the source, or the default if there is none."""
    default = GENERATED if isinstance(task, GeneratedTask) else os.environ.get(VARIABLE) or HUB
    return str(source if source is not None else default)


def _made_rows(task: Task, split: str, source: str) -> Iterator[Numbered]:
    """Return the first rows of a generated task."""
    seed = source.partition(":")[2] or "0"
    if not isinstance(task, GeneratedTask):
        raise UserError(f"task {task.name} makes no questions of its own: give a folder, a .jsonl file or {HUB!r}")
    if not re.fullmatch("[0-9]{1,9}", seed):
        raise UserError(f"the source of task {task.name} is {source}: a whole number, the seed, must follow the colon")
    made = itertools.islice(task.rows(split, int(seed)), POOL[split])
    return (Numbered(i, f"{task.name} ({split}) row {i + 1}", dict(row)) for i, row in enumerate(made))


def _questions(
    task: Task, rows: Iterator[Numbered], template: str, skip_empty: bool
) -> tuple[list[Question], dict[str, int]]:
    """Turn rows into questions, adding the row's location to any error; also return the rows left out."""
    questions: list[Question] = []
    places: dict[str, str] = {}
    left_out: dict[str, int] = {}
    for number, where, row in rows:
        try:
            question = task.question(row, template, number, where) if task.keep(row) else None
        except EmptyOptionError as error:
            if not skip_empty:
                raise UserError(f"{where}: {error}") from error
            left_out[_EMPTY] = left_out.get(_EMPTY, 0) + 1
            continue
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        except RecursionError as error:
            raise UserError(f"{where}: the row is nested too deeply: flatten it or drop the row") from error
        if question is None:
            left_out[task.others] = left_out.get(task.others, 0) + 1
            continue
        if question.id in places:
            used = printable(question.id, 60)
            raise UserError(f"{where}: id {used!r} was already used at {places[question.id]}: ids must differ")
        places[question.id] = where
        questions.append(question)
    return questions, left_out


def _names(task: Task, split: str) -> list[str]:
    """Return the possible file names of a split in a folder."""
    return [f"{folder}{split}{ending}" for folder in (f"{task.name}/", "") for ending in ENDINGS]


def _find(task: Task, split: str, source: Path, from_variable: bool) -> Path:
    """Return the file of a split, or raise a UserError that lists the names tried."""
    said = printable(f"{VARIABLE}={source}" if from_variable else str(source))
    if source.is_file():
        if not source.name.endswith(ENDINGS):
            known = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            raise UserError(f"data of task {task.name}: {said} is not a {known} file")
        return source
    if not source.is_dir():
        raise UserError(f"data of task {task.name}: {said} does not exist: give a folder, a .jsonl file or {HUB!r}")
    names = _names(task, split)
    for name in names:
        if (source / name).is_file():
            return source / name
    raise UserError(f"data of task {task.name}: {said} holds none of {', '.join(names)}")


def _hub_rows(task: Task, split: str) -> Iterator[Numbered]:
    """Read the rows of a split from the hub, or from the ``datasets`` cache."""
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
            # Only the presence of an image matters: decoding would take minutes and another package.
            table = table.cast_column("image", datasets.Image(decode=False))
    except Exception as error:  # the hub's client raises errors of several network libraries
        raise UserError(
            f"data of task {task.name}: cannot load {task.hub_id} ({hub_split}) from the hub "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): check the connection, {remedy}"
        ) from error
    for number, row in enumerate(table):
        if task.part(row) in (None, split):
            yield Numbered(number, f"{task.hub_id} ({hub_split}) row {number + 1}", dict(row))
