"""``meshtune tasks``: the tasks, their sources and licences; or one task in full."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from meshtune.tasks.base import Question, Task


def tasks(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show this task: its fields, an example row and how it is scored."),
    ] = None,
) -> None:
    """List the tasks that a configuration may name, or show one in full.

    For example: meshtune tasks piqa, then tasks: [boolq, piqa] in a configuration
    """
    from meshtune.tasks.registry import TASKS, get_task

    if name is not None:
        typer.echo(described(get_task(name)))
        return
    from meshtune.cli.show import show_tables
    from meshtune.report.result_tables import Table

    rows = []
    for known, task in TASKS.items():
        options, chance = _chance(task)
        parted = task.splits.get("train") == task.splits["test"]
        tested = f"part of {task.splits['test']}" if parted else task.splits["test"]
        rows.append([known, _origin(task), tested, options, chance, task.licence])
    columns = ["name", "on the hub", "tested on", "options", "chance", "licence of the data"]
    note = (
        "Any folder with <task>/train.jsonl and, if there are rows for testing, <task>/test.jsonl in the same fields "
        "serves as well: meshtune tasks NAME shows them."
    )
    show_tables([Table("Tasks", columns, rows, labels=6, note=note)])


def described(task: Task) -> str:
    """Return a page about one task, with its example row as one line of JSON, ready for a file."""
    from meshtune.tasks.loader import VARIABLE

    row = example_row(task)
    question = task.question(row)
    options, chance = _chance(task)
    lines = [
        f"{task.name}: {(type(task).__doc__ or '').strip().splitlines()[0]}",
        "",
        f"from      {_origin(task)}",
        f"splits    {', '.join(f'{ours}: {theirs}' for ours, theirs in task.splits.items())}",
        f"licence   {task.licence}",
        f"options   {options}",
        f"chance    {chance}",
        f"scored    {_scored(task)}",
        "",
        "Fields of a row:",
        *(f"  {field:<20} {_kind(row[field])}" for field in task.fields),
        *(f"  {field:<20} {_kind(row[field])}, optional" for field in row if field not in task.fields),
        "",
        "A row, as one line of train.jsonl or test.jsonl:",
        json.dumps(row, ensure_ascii=False),
        "",
        "The prompt made from it:",
        *(f"  {line}" for line in question.prompt.split("\n")),
        "Its answer:" if task.written else "Its options, the right one marked:",
        *(f"  {mark}{line}" for mark, option in _marked(question) for line in option.split("\n")),
        "",
        f"A folder with {task.name}/train.jsonl in these fields serves as data, or ${VARIABLE}.",
    ]
    return "\n".join(lines)


def _marked(question: Question) -> list[tuple[str, str]]:
    marks = [("* " if number == question.answer else "  ") for number in range(len(question.options))]
    return list(zip([""] if question.written else marks, question.options, strict=True))


def example_row(task: Task) -> dict[str, Any]:
    """Return a valid row of ``task``: its example, or the first that it generates."""
    from meshtune.tasks.generated import GeneratedTask

    return dict(next(task.rows("train")) if isinstance(task, GeneratedTask) else task.example)


def _origin(task: Task) -> str:
    if not task.hub_id:
        return "made here"
    return task.hub_id if task.hub_config is None else f"{task.hub_id} ({task.hub_config})"


def _chance(task: Task) -> tuple[str, str]:
    """Return how many options a question has, and the accuracy of guessing; "-" if guessing does not apply."""
    if task.written:
        return "written", "-" if task.chance is None else f"{task.chance:.2f}"
    count = len(task.question(example_row(task)).options)
    return task.choices or str(count), f"{1 / count if task.chance is None else task.chance:.2f}"


def _scored(task: Task) -> str:
    if task.written:
        return f"{task.judged}; nll: of the reference"
    return "acc: the likeliest option; acc_norm: by its length; nll: of the right option; option_nll: among the options"


def _kind(value: object) -> str:
    """Return the JSON type of a field, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, list):
        return "a list of texts"
    if isinstance(value, dict):
        return "an object: " + ", ".join(f"{name} ({_kind(inner)})" for name, inner in value.items())
    return "text"
