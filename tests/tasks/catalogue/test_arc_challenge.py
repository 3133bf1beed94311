"""ARC-Challenge: the hub's harder part of the same data set, read and asked as ARC-Easy."""

from __future__ import annotations

from hub_rows import check_question
from meshtune.tasks import Question, get_task

ROW = {
    "id": "Q9",
    "question": "What do plants need?",
    "choices": {"text": ["cars", "light", "shoes"], "label": ["A", "B", "C"]},
    "answerKey": "B",
}


def test_a_row_as_a_question() -> None:
    shared = "Question: What do plants need?\nAnswer:"
    check_question(ROW, Question("Q9", "arc_challenge", shared, ("cars", "light", "shoes"), 1), shared)


def test_it_is_another_part_of_the_data_set_of_arc_easy() -> None:
    hard, easy = get_task("arc_challenge"), get_task("arc_easy")
    assert (hard.hub_id, hard.splits, hard.licence) == (easy.hub_id, easy.splits, easy.licence)
    assert (hard.hub_config, easy.hub_config) == ("ARC-Challenge", "ARC-Easy")
