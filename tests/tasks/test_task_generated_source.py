"""Where the questions of generated tasks come from: the task itself under a seed, or a file of its fields."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.data.partition import exam_questions
from meshtune.errors import UserError
from meshtune.tasks import TASKS, load
from meshtune.tasks.generated import GeneratedTask

MINE = [{"asked": f"Is {number} even?", "options": ["yes", "no"], "answer": number % 2} for number in range(5)]


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHTUNE_DATA", raising=False)


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def made(name: str, split: str, seed: int, count: int) -> list[str]:
    task = TASKS[name]
    assert isinstance(task, GeneratedTask)
    return [f"Question: {row['asked']}\nAnswer:" for row in itertools.islice(task.rows(split, seed), count)]


def test_the_rows_of_seed_0_are_made_where_nothing_is_said() -> None:
    found = load("animals", "test")
    assert [q.prompt for q in found] == made("animals", "test", 0, 500)
    assert [q.id for q in found] == [str(number) for number in range(500)]
    assert len(load("animals", "train")) == 2000
    assert load("animals", "test", "generated") == load("animals", "test", "hub") == found


def test_a_seed_stands_behind_a_colon() -> None:
    assert [q.prompt for q in load("sums", "test", "generated:7")] == made("sums", "test", 7, 500)
    assert load("sums", "test", "generated:0") == load("sums", "test") != load("sums", "test", "generated:7")


@pytest.mark.parametrize(
    "source", ["generated:x", "generated:-1", "generated:1.5", "generated:1:2", "generated:1234567890"]
)
def test_a_seed_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(
        UserError, match=f"the source of task sums is {source}: a whole number, the seed, must follow the colon"
    ):
        load("sums", "test", source)


@pytest.mark.parametrize("source", ["generated", "generated:3"])
def test_other_tasks_make_no_questions(source: str) -> None:
    with pytest.raises(
        UserError, match=r"task piqa makes no questions of its own: give a folder, a \.jsonl file or 'hub'"
    ):
        load("piqa", "train", source)


def test_a_file_of_the_same_fields_serves_as_well(tmp_path: Path) -> None:
    for name in ("claims", "machines"):
        task = TASKS[name]
        assert isinstance(task, GeneratedTask)
        rows = itertools.islice(task.rows("test", 4), 20)
        path = write(tmp_path / name / "test.jsonl", [dict(row) for row in rows])
        expected = load(name, "test", "generated:4")[:20]
        assert load(name, "test", path) == load(name, "test", tmp_path) == expected
    path = write(tmp_path / "mine.jsonl", MINE)
    found = load("claims", "train", path)
    assert [(q.prompt, q.options[q.answer]) for q in found][:2] == [
        ("Question: Is 0 even?\nAnswer:", "yes"),
        ("Question: Is 1 even?\nAnswer:", "no"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"options": ["yes", "no"], "answer": 0},
            "field 'asked' is missing: a row of claims needs asked, options, answer",
        ),
        ({**MINE[0], "asked": 3}, "field 'asked' is 3, not text"),
        ({**MINE[0], "options": "yes"}, "field 'options' is \"yes\", not a list of texts"),
        ({**MINE[0], "options": ["yes"]}, "a question needs at least two options, this row has 1"),
        ({**MINE[0], "answer": 2}, "the answer is option 3, but the row has 2 options"),
        ({**MINE[0], "answer": None}, "field 'answer' is null"),
    ],
)
def test_a_bad_line_of_such_a_file_is_placed(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "train.jsonl", [MINE[0], row])
    with pytest.raises(UserError, match=rf"train\.jsonl line 2: {message}"):
        load("claims", "train", path)


def test_a_written_task_takes_one_reference(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"asked": "How many?", "options": ["two", "three"], "answer": 0}])
    with pytest.raises(UserError, match="line 1: a written question needs one reference answer of one line"):
        load("sums", "train", path)


def test_the_folder_of_the_other_tasks_is_none_of_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run mixes both kinds: its data folder, and MESHTUNE_DATA, are for tasks that make nothing."""
    write(tmp_path / "claims" / "test.jsonl", MINE)
    write(tmp_path / "piqa" / "test.jsonl", [{"goal": "g", "sol1": "a", "sol2": "b", "label": 0}])
    expected = load("claims", "test")
    monkeypatch.setenv("MESHTUNE_DATA", str(tmp_path))
    assert load("claims", "test") == expected
    assert len(load("piqa", "test")) == 1
    tree = {"tasks": ["claims", "piqa"], "data": str(tmp_path), "eval": {"questions": 1000}}
    exam = exam_questions(validate(tree, "test"))
    assert sorted(exam["claims"], key=lambda q: int(q.id)) == expected
    assert [q.prompt for q in exam["piqa"]] == ["Question: g\nAnswer:"]
    for data in ("nowhere", "hub"):
        exam = exam_questions(validate({**tree, "tasks": ["claims"], "data": data}, "test"))
        assert len(exam["claims"]) == 500


def test_a_runs_task_may_name_a_seed_or_a_folder_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "claims" / "test.jsonl", MINE)
    file = str(write(tmp_path / "some.jsonl", MINE[:3]))
    for key, value, expected in (
        ("source", "generated:7", load("claims", "test", "generated:7")),
        ("source", str(tmp_path), load("claims", "test", tmp_path)),
        ("test", file, load("claims", "test", file)),
    ):
        tree = {"tasks": [{"task": "claims", key: value}], "data": "nowhere", "eval": {"questions": 1000}}
        (found,) = exam_questions(validate(tree, "test")).values()
        assert sorted(found, key=lambda q: int(q.id)) == expected
