"""Tasks and devices of a federation."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_texts import read
from meshtune.config.config_file import validate
from meshtune.errors import UserError


def test_a_task_is_given_with_its_own_files(file: Path) -> None:
    text = "tasks: [{task: boolq, train: a.jsonl, test: b.jsonl, key: north}, {task: boolq, source: hub}, piqa]"
    own, plain, last = read(file, text).tasks
    assert (own.task, own.train, own.test, own.key) == ("boolq", "a.jsonl", "b.jsonl", "north")
    assert (plain.source, plain.train, plain.key) == ("hub", None, "boolq")
    assert last.key == "piqa"


@pytest.mark.parametrize(
    "devices, expected",
    [
        ({}, "ab"),
        ({"per_task": 2}, "abab"),
        ({"count": 5}, "ababa"),
        ({"count": 1}, "a"),
        ({"count": 3, "per_task": 9}, "aba"),
    ],
)
def test_devices_take_the_tasks_in_turn(devices: dict[str, int], expected: str) -> None:
    tasks = [{"task": "boolq", "key": "a"}, {"task": "piqa", "key": "b"}]
    config = validate({"tasks": tasks, "devices": devices}, "test")
    assert "".join(task.key for task in config.device_tasks) == expected


def test_a_task_may_be_tested_on_others_too(file: Path) -> None:
    text = "tasks: [{task: mbpp, key: code, also: [openai_humaneval]}, {task: piqa, also: [boolq, arc_easy]}]"
    config = read(file, text)
    taught = {"code": "code", "openai_humaneval": "code", "piqa": "piqa", "boolq": "piqa", "arc_easy": "piqa"}
    assert config.exams == taught
    assert list(config.exams) == list(taught)
    assert [task.key for task in config.device_tasks] == ["code", "piqa"]
    assert read(file, text, "eval.split=validation").exams == {"code": "code", "piqa": "piqa"}
    assert read(file, "tasks: [{task: openai_humaneval, train: mine.jsonl}]").exams.keys() == {"openai_humaneval"}


@pytest.mark.parametrize("key", ["a\nb", "a\x1b[31mb", "\u202eab", " ab", "ab ", " ", "x" * 101])
def test_a_key_that_would_break_tables_is_refused(key: str) -> None:
    with pytest.raises(UserError, match="a key is shown in tables: give up to 100 characters on one line") as caught:
        validate({"tasks": [{"task": "piqa", "key": key}]}, "FILE")
    assert str(caught.value).isprintable()
    with pytest.raises(UserError, match="a NUL or bytes that are not UTF-8"):
        validate({"tasks": [{"task": "piqa", "key": "\ud83d"}]}, "FILE")
    assert validate({"tasks": [{"task": "piqa", "key": "north 2 (\u00e9)"}]}, "FILE").tasks[0].key == "north 2 (\u00e9)"
