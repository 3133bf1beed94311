"""Social IQa: an event, a question and three answers, the label counted from 1."""

from __future__ import annotations

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.base import EmptyOptionError

ROW = {
    "context": "Ann fed the cat.",
    "question": "What will Ann do next?",
    "answerA": "cry",
    "answerB": "wash the bowl",
    "answerC": "fly",
    "label": "2",
}


def test_a_row_as_a_question() -> None:
    shared = "Question: Ann fed the cat. What will Ann do next?\nAnswer:"
    own = "Q: Ann fed the cat. What will Ann do next?\nA:"
    check_question(ROW, Question("3", "social_i_qa", shared, ("cry", "wash the bowl", "fly"), 1), own)


@pytest.mark.parametrize(("label", "right"), [("1", "cry"), ("2", "wash the bowl"), (3, "fly")])
def test_the_label_counts_from_one(label: str | int, right: str) -> None:
    question = get_task("social_i_qa").question({**ROW, "label": label})
    assert question.options[question.answer] == right


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("0", "field 'label' is 0, but options are counted from 1: correct it or drop the row"),
        ("4", "the answer is option 4, but the row has 3 options"),
        ("B", "field 'label' is \"B\", not the number of an option counted from 1"),
    ],
)
def test_a_wrong_label_is_named(label: str, why: str) -> None:
    assert refusal("social_i_qa", ROW, label=label) == why


@pytest.mark.parametrize(("field", "place"), [("answerA", 1), ("answerB", 2), ("answerC", 3)])
def test_an_empty_answer_is_named(field: str, place: int) -> None:
    with pytest.raises(EmptyOptionError, match=rf"^option {place} of 3 is empty: fill it in or drop the row$"):
        get_task("social_i_qa").question({**ROW, field: ""})
