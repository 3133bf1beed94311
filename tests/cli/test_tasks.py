"""``meshtune tasks NAME``: what it shows of every task is what the task takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshtune.cli.main import app
from meshtune.tasks import TASKS, load


@pytest.mark.parametrize("name", TASKS)
def test_the_example_of_a_task_loads_and_asks_what_is_shown(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    shown = CliRunner().invoke(app, ["tasks", name])
    assert shown.exit_code == 0, shown.output
    out = shown.stdout
    line = next(line for line in out.splitlines() if line.startswith("{"))
    (tmp_path / "train.jsonl").write_text(line + "\n", encoding="utf-8")
    (question,) = load(name, "train", tmp_path)
    for part in (*question.prompt.split("\n"), *(part for option in question.options for part in option.split("\n"))):
        assert part in out
    marked = [line for line in out.splitlines() if line.startswith("  * ")]
    assert marked == ([] if task.written else [f"  * {question.options[question.answer]}"])
    listed = out.split("Fields of a row:\n")[1].split("\n\n")[0].splitlines()
    fields = {line.split()[0]: line.split(maxsplit=1)[1] for line in listed}
    assert set(task.fields) <= set(fields)
    for field, value in json.loads(line).items():
        assert {"bool": "true", "int": "whole", "str": "text", "list": "list", "dict": "object"}[
            type(value).__name__
        ] in fields[field]
        assert ("optional" in fields[field]) == (field not in task.fields)
    assert task.licence in out
    assert (task.hub_id or "made here") in out
    assert ("rouge_l" in out) == (name == "dolly_open_qa")
    assert ("acc_norm" in out) == (not task.written)
