"""ScienceQA: an optional hint, the choices, and rows with an image left out."""

from __future__ import annotations

from typing import Any

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.base import EmptyOptionError

ROW: dict[str, Any] = {
    "pid": "42",
    "question": "Which floats?",
    "choices": ["cork", "iron"],
    "answer": 0,
    "hint": "Both are in water.",
}


def test_a_row_as_a_question() -> None:
    shared = "Question: Both are in water.\nWhich floats?\nAnswer:"
    own = "Context: Both are in water.\nQuestion: Which floats?\nAnswer:"
    check_question(ROW, Question("42", "scienceqa", shared, ("cork", "iron"), 0), own)


@pytest.mark.parametrize("template", ["shared", "own"])
def test_without_a_hint_there_is_no_context(template: str) -> None:
    question = get_task("scienceqa").question({**ROW, "hint": " "}, template)
    assert question.prompt == "Question: Which floats?\nAnswer:"


def test_text_only_rows_are_kept() -> None:
    task = get_task("scienceqa")
    assert task.keep(ROW)
    assert task.keep({**ROW, "image": None})
    assert not task.keep({**ROW, "image": {"bytes": b"x", "path": None}})


def test_the_hubs_rows_have_no_id_and_get_their_number() -> None:
    row = {key: value for key, value in ROW.items() if key != "pid"}
    assert get_task("scienceqa").question(row, number=5).id == "5"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"answer": 5}, "the answer is option 6, but the row has 2 options"),
        ({"choices": [1, 2]}, "field 'choices' is [1, 2], not a list of texts"),
        ({"hint": None}, "field 'hint' is null, not text"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("scienceqa", ROW, **change) == why


def test_an_empty_choice_is_named() -> None:
    with pytest.raises(EmptyOptionError, match=r"^option 2 of 2 is empty: fill it in or drop the row$"):
        get_task("scienceqa").question({**ROW, "choices": ["cork", " "]})
