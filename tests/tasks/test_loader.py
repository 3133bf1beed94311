"""The loader: where it looks, what it returns, and what it says when a file or the hub is at fault."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.tasks import load

ROWS = [
    {"goal": f"Do thing {number}.", "sol1": f"Way {number}.", "sol2": "Not at all.", "label": number % 2}
    for number in range(5)
]


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHTUNE_DATA", raising=False)


@pytest.mark.parametrize("name", ["piqa/train.jsonl", "piqa/train.jsonl.gz", "train.jsonl", "train.jsonl.gz"])
def test_a_folder_is_searched(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    questions = load("piqa", "train", tmp_path)
    assert [q.prompt for q in questions] == [f"Question: Do thing {n}.\nAnswer:" for n in range(5)]
    assert [q.options[0] for q in questions] == [f"Way {n}." for n in range(5)]
    assert [q.answer for q in questions] == [0, 1, 0, 1, 0]
    assert [q.id for q in questions] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.gz"])
def test_one_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert len(load("piqa", "test", write(tmp_path / name, ROWS))) == 5
    assert len(load("piqa", "test", str(tmp_path / name))) == 5


def test_the_tasks_own_folder_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "piqa" / "train.jsonl", ROWS[:1])
    write(tmp_path / "train.jsonl", ROWS)
    assert len(load("piqa", "train", tmp_path)) == 1


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "piqa" / "test.jsonl", ROWS)
    monkeypatch.setenv("MESHTUNE_DATA", str(tmp_path))
    assert len(load("piqa", "test")) == 5
    monkeypatch.setenv("MESHTUNE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"MESHTUNE_DATA=.*nowhere does not exist"):
        load("piqa", "test")


def test_blank_lines_count_as_lines_but_not_as_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [ROWS[0], "", "  ", ROWS[1]])
    assert [q.id for q in load("piqa", "train", path)] == ["0", "1"]
    path = write(tmp_path / "train.jsonl", [ROWS[0], "", {"goal": "x"}])
    with pytest.raises(UserError, match="line 3"):
        load("piqa", "train", path)


def test_the_template_is_passed_on(tmp_path: Path) -> None:
    row = {"question": "is it", "passage": "It is.", "answer": True}
    path = write(tmp_path / "train.jsonl", [row])
    assert load("boolq", "train", path, "own")[0].prompt == "It is.\nQuestion: is it?\nAnswer:"
    with pytest.raises(UserError, match="unknown template 'x'"):
        load("boolq", "train", path, "x")


def test_a_missing_field_is_placed(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [ROWS[0], {"goal": "g", "sol1": "a", "label": 0}])
    with pytest.raises(
        UserError, match=r"train\.jsonl line 2: field 'sol2' is missing: a row of piqa needs goal, sol1"
    ):
        load("piqa", "train", path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"goal": ', r"line 2: broken JSON, .* at column"),
        ("[1]", "line 2: a row must be a JSON object, this is a list"),
        ("[" * 200_000, "line 2: cannot be read as JSON"),
        ('{"label": ' + "9" * 5000 + "}", "line 2: cannot be read as JSON"),
        (json.dumps({**ROWS[0], "label": 7}), "line 2: the answer is option 8, but the row has 2 options"),
        (json.dumps({**ROWS[0], "sol1": " "}), "line 2: option 1 of 2 is empty"),
        (json.dumps({**ROWS[0], "goal": 3}), "line 2: field 'goal' is 3, not text"),
    ],
)
def test_a_bad_line_is_placed(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "train.jsonl", [ROWS[0], line])
    with pytest.raises(UserError, match=message):
        load("piqa", "train", path)


def test_text_that_is_not_utf8_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"goal": "caf\xe9"}\n')
    with pytest.raises(UserError, match="line 1: cannot be read as JSON in UTF-8"):
        load("piqa", "train", path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for rows in ([], ["", ""]):
        with pytest.raises(UserError, match=r"train\.jsonl holds no question of task piqa"):
            load("piqa", "train", write(tmp_path / "train.jsonl", rows))


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
    path = tmp_path / "train.jsonl.gz"
    for damaged in (whole[:-12], b"not gzip at all", whole[:12] + b"\xff" * 30):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"train\.jsonl\.gz cannot be read after line \d"):
            load("piqa", "train", path)


def test_an_id_may_not_occur_twice(tmp_path: Path) -> None:
    row = {
        "id": "A1",
        "question": "Which?",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "A",
    }
    path = write(tmp_path / "train.jsonl", [row, row])
    with pytest.raises(UserError, match=r"line 2: id 'A1' was already used at .* line 1"):
        load("arc_easy", "train", path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: give a folder"):
        load("piqa", "train", tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds none of piqa/train\.jsonl, piqa/train\.jsonl\.gz, piqa/train\.json, "):
        load("piqa", "train", tmp_path)
    (tmp_path / "train.csv").write_text("goal\n")
    with pytest.raises(UserError, match=r"train\.csv is not a \.jsonl, \.jsonl\.gz, \.json or \.json\.gz file"):
        load("piqa", "train", tmp_path / "train.csv")


def test_unknown_task_and_split() -> None:
    with pytest.raises(UserError, match="did you mean 'piqa'"):
        load("piqqa", "train", "hub")
    with pytest.raises(UserError, match="unknown split 'validation' of task piqa: choose one of train, test"):
        load("piqa", "validation", "hub")
