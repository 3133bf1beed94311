"""The sentence on tasks that no device has."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.data.unlearnt import unlearnt_note


def test_the_remedy_works(whole_settings: dict[str, Any]) -> None:
    config = validate({**whole_settings, "devices": {"count": 2}}, "test")
    note = unlearnt_note(config)
    assert note is not None
    assert note.startswith("task piqa is asked, but no device has it")
    count = int(note.partition("devices.count=")[2].split()[0])
    assert unlearnt_note(validate({**whole_settings, "devices": {"count": count}}, "test")) is None
    many = [{"task": "boolq", "key": f"b{i}"} for i in range(20)]
    note = unlearnt_note(validate({**whole_settings, "tasks": many, "devices": {"count": 3}}, "test"))
    assert note is not None
    assert "b12 and 7 more are asked" in note


@pytest.mark.parametrize(("count", "said"), [(2, None), (1, "task b is asked, but no device has it: nobody learns it")])
def test_one_task_is_told_in_the_singular_and_none_not_at_all(count: int, said: str | None) -> None:
    tasks = [{"task": "boolq", "key": key} for key in "ab"]
    note = unlearnt_note(validate({"tasks": tasks, "devices": {"count": count}}, "test"))
    if said is None:
        assert note is None
    else:
        assert note == f"{said}, and averages leave it out; devices.count=2 gives every task a device"


def test_ten_tasks_are_named_and_more_are_counted() -> None:
    for count, end in ((12, "b10, b11 are asked"), (13, "b10, b11 and 1 more are asked")):
        tasks = [{"task": "boolq", "key": f"b{i}"} for i in range(count)]
        note = unlearnt_note(validate({"tasks": tasks, "devices": {"count": 2}}, "test"))
        assert note is not None
        assert note.startswith("tasks b2, b3, ")
        assert end in note


def test_a_long_key_is_cut() -> None:
    tasks = ["piqa", {"task": "boolq", "key": "k" * 90}]
    note = unlearnt_note(validate({"tasks": tasks, "devices": {"count": 1}}, "test"))
    assert note is not None
    assert note.startswith(f"task {'k' * 39}… is asked")
