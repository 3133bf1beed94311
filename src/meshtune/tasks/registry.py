"""The tasks by name. A task's module is imported on first use."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping

from meshtune.errors import UserError
from meshtune.tasks.base import Task

_CLASSES = {
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "social_i_qa": "SocialIQA",
    "hellaswag": "HellaSwag",
    "arc_easy": "ArcEasy",
    "arc_challenge": "ArcChallenge",
    "scienceqa": "ScienceQA",
    "gsm8k": "GSM8K",
    "dolly_open_qa": "DollyOpenQA",
    "mbpp": "MBPP",
    "openai_humaneval": "HumanEval",
    "claims": "Claims",
    "sequel": "Sequel",
    "sums": "Sums",
    "animals": "Animals",
    "machines": "Machines",
    "crowds": "Crowds",
}


class _LazyTasks(Mapping[str, Task]):
    """A read-only mapping with values created on first use; listing the names imports nothing."""

    def __init__(self) -> None:
        self._made: dict[str, Task] = {}

    def __getitem__(self, name: str) -> Task:
        if name not in self._made:
            made = getattr(importlib.import_module(f"meshtune.tasks.catalogue.{name}"), _CLASSES[name])()
            assert isinstance(made, Task)
            self._made[name] = made
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES


TASKS: Mapping[str, Task] = _LazyTasks()


def get_task(name: str) -> Task:
    """Return the task called ``name``; an unknown name is a UserError that names the known ones and the nearest."""
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), TASKS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"unknown task {name!r}: {hint}the tasks are {', '.join(TASKS)}")
