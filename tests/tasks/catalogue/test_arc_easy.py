"""ARC-Easy: the right option stands where its label stands, whichever labels a row uses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.base import EmptyOptionError

ROW = {
    "id": "Q1",
    "question": "What do plants need?",
    "choices": {"text": ["light", "cars", "shoes", "glue"], "label": ["1", "2", "3", "4"]},
    "answerKey": "1",
}


def test_a_row_as_a_question() -> None:
    shared = "Question: What do plants need?\nAnswer:"
    check_question(ROW, Question("Q1", "arc_easy", shared, ("light", "cars", "shoes", "glue"), 0), shared)


@given(st.data())
def test_the_answer_is_the_text_under_the_key(data: st.DataObject) -> None:
    options = data.draw(st.lists(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=5))
    labels = data.draw(st.permutations("ABCDE"))[: len(options)]
    right = data.draw(st.integers(0, len(options) - 1))
    row = {"question": "Which?", "choices": {"text": options, "label": labels}, "answerKey": labels[right]}
    question = get_task("arc_easy").question(row)
    assert question.options[question.answer] == options[right]


NO_OBJECT = "field 'choices' is not an object with the lists 'text' and 'label'"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"answerKey": "E"}, "field 'answerKey' is \"E\", which is none of the labels 1, 2, 3, 4"),
        ({"choices": ["light"]}, NO_OBJECT),
        ({"choices": {"text": ["a", "b"]}}, NO_OBJECT),
        ({"choices": {"text": ["a", "b"], "label": ["1"]}}, "field 'choices' has 2 texts but 1 labels"),
        (
            {"choices": {"text": ["a", "b"], "label": ["1", "1"]}},
            "field 'answerKey' is \"1\", and several options are labelled so: give each its own",
        ),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("arc_easy", ROW, **change) == why


def test_an_empty_choice_is_named() -> None:
    with pytest.raises(EmptyOptionError, match=r"^option 2 of 2 is empty: fill it in or drop the row$"):
        get_task("arc_easy").question({**ROW, "choices": {"text": ["a", ""], "label": ["1", "2"]}})
