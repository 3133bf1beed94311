"""PIQA: a goal and two solutions, the label counted from 0."""

from __future__ import annotations

from typing import Any

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.base import EmptyOptionError

ROW = {"goal": "Open a jar.", "sol1": " Twist the lid.", "sol2": "Kick the lid. ", "label": 0}


def test_a_row_as_a_question() -> None:
    shared = "Question: Open a jar.\nAnswer:"
    check_question(ROW, Question("3", "piqa", shared, ("Twist the lid.", "Kick the lid."), 0), shared)


@pytest.mark.parametrize(("label", "right"), [(0, "Twist the lid."), (1, "Kick the lid."), (" 1 ", "Kick the lid.")])
def test_the_label_counts_from_nought(label: Any, right: str) -> None:
    question = get_task("piqa").question({**ROW, "label": label})
    assert question.options[question.answer] == right


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (2, "the answer is option 3, but the row has 2 options"),
        (-1, "field 'label' is -1, but options are counted from 0: answers are hidden in this split, take one that "
             "has them or drop the row"),
        (True, "field 'label' is true, not the number of an option counted from 0"),
        ("first", "field 'label' is \"first\", not the number of an option counted from 0"),
        ("9" * 5000, f"field 'label' is \"{'9' * 38}…, not the number of an option counted from 0"),
    ],
)  # fmt: skip
def test_a_wrong_label_is_named(label: Any, why: str) -> None:
    assert refusal("piqa", ROW, label=label) == why


def test_an_empty_solution_is_named() -> None:
    with pytest.raises(EmptyOptionError, match=r"^option 2 of 2 is empty: fill it in or drop the row$"):
        get_task("piqa").question({**ROW, "sol2": "  "})
