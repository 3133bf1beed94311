"""A row of a task of the hub, against the question that was worked out from it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.tasks import Question, get_task

Row = Mapping[str, Any]


def check_question(row: Row, shared: Question, own: str) -> None:
    """Row number 3 is the question ``shared``, or asks ``own`` in the task's own template.

    The fields that the task names are enough for its options, and each that is missing is named.
    """
    task = get_task(shared.task)
    assert task.question(row, "shared", 3) == shared
    assert task.question(row, "own", 3).prompt == own
    assert task.question({field: row[field] for field in task.fields}).options == shared.options
    for field in task.fields:
        with pytest.raises(UserError) as caught:
            task.question({key: value for key, value in row.items() if key != field})
        needed = ", ".join(task.fields)
        assert str(caught.value) == f"field {field!r} is missing: a row of {shared.task} needs {needed}"


def refusal(name: str, row: Row, **changes: Any) -> str:
    """Return why the task ``name`` refuses ``row`` with ``changes``."""
    with pytest.raises(UserError) as caught:
        get_task(name).question({**row, **changes})
    return str(caught.value)
