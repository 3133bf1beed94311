"""BoolQ: a passage, a question with one question mark, and yes before no."""

from __future__ import annotations

from typing import Any

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task

ROW = {"question": "is a whale a fish", "passage": "A whale is a mammal. ", "answer": False}


def test_a_row_as_a_question() -> None:
    shared = "Question: A whale is a mammal.\nis a whale a fish?\nAnswer:"
    own = "A whale is a mammal.\nQuestion: is a whale a fish?\nAnswer:"
    check_question(ROW, Question("3", "boolq", shared, ("yes", "no"), 1), own)


@pytest.mark.parametrize("asked", ["is it so", "is it so?", " is it so ? ", "is it so??"])
def test_true_is_yes_and_a_question_mark_is_not_doubled(asked: str) -> None:
    question = get_task("boolq").question({**ROW, "question": asked, "answer": True})
    assert question.options[question.answer] == "yes"
    assert question.prompt.endswith("\nis it so?\nAnswer:")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"answer": "yes"}, "field 'answer' is \"yes\", not true or false"),
        ({"answer": 1}, "field 'answer' is 1, not true or false"),
        ({"passage": " "}, "field 'passage' is empty: fill it in or drop the row"),
        ({"question": None}, "field 'question' is null, not text"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("boolq", ROW, **change) == why
