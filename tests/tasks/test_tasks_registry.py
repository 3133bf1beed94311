"""The registry: its names, its lazy imports and its help with typing errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.tasks import TASKS, catalogue, get_task

NAMES = {file.stem for file in Path(catalogue.__file__).parent.glob("*.py")} - {"__init__"}


def test_all_tasks_are_there_under_their_own_names() -> None:
    assert set(TASKS) == NAMES
    assert len(TASKS) == len(NAMES)
    for name in TASKS:
        assert TASKS[name].name == name
        assert get_task(name) is TASKS[name]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bolq", "boolq"),
        ("arc-easy", "arc_easy"),
        ("HellaSwag", "hellaswag"),
        ("siqa", "piqa"),
        ("machine", "machines"),
    ],
)
def test_an_unknown_name_gets_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"unknown task '{typed}': did you mean '{meant}'") as caught:
        get_task(typed)
    assert all(name in str(caught.value) for name in NAMES)


def test_a_name_near_to_nothing_gets_the_list() -> None:
    with pytest.raises(UserError, match="unknown task 'zzz': the tasks are boolq, piqa"):
        get_task("zzz")


def test_importing_the_tasks_imports_nothing_heavy() -> None:
    code = """
import sys
import meshtune.tasks
assert list(meshtune.tasks.TASKS)
heavy = ("torch", "datasets", "transformers", "meshtune.tasks.catalogue.boolq", "meshtune.world.facts")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
