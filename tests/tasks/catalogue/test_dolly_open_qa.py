"""Dolly's open questions: free answers of several lines, parted by their instruction, graded by ROUGE-L."""

from __future__ import annotations

from typing import Any

import pytest

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.base import EmptyOptionError

ROW = {
    "instruction": "Why is it dark?",
    "context": "",
    "response": " It is night.\n\nGo to bed.",
    "category": "open_qa",
}


def test_a_row_as_a_question() -> None:
    shared = "Question: Why is it dark?\nAnswer:"
    own = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nWhy is it dark?\n\n### Response:"
    )
    options = ("It is night.\n\nGo to bed.",)
    check_question(ROW, Question("3", "dolly_open_qa", shared, options, 0, True, True, "\nQuestion:"), own)


def test_open_questions_are_kept_and_the_hubs_rows_are_parted_by_their_instruction() -> None:
    task = get_task("dolly_open_qa")
    assert task.keep(ROW)
    assert task.keep({"instruction": "Why?", "response": "So."})
    assert not task.keep({**ROW, "category": "closed_qa"})
    parts = [task.part({**ROW, "instruction": f"Why is {n}?", "response": str(n)}) for n in range(2000)]
    assert set(parts) == {"train", "test"}
    assert abs(parts.count("test") - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
    for n in range(50):
        assert task.part({"instruction": f" Why is {n}?\n", "response": "else"}) == parts[n]


def test_an_answer_is_graded_by_the_words_that_it_shares_in_order() -> None:
    """Of the reference's six words: F1 is 2 x shared / (words written + 6)."""
    task = get_task("dolly_open_qa")
    written = {
        "It is night. Go to bed.": 1.0,
        "IT IS NIGHT": 2 * 3 / (3 + 6),
        "bed to go": 2 * 1 / (3 + 6),  # out of order, one word at a time is in order
        "It was night so go home": 2 * 3 / (6 + 6),
        "the moon": 0.0,
        "": 0.0,
    }
    found = task.grade([task.question(ROW)] * len(written), list(written))
    assert [set(one) for one in found] == [{"rouge_l"}] * len(written)
    assert [one["rouge_l"] for one in found] == pytest.approx(list(written.values()))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"instruction": None}, "field 'instruction' is null, not text"),
        ({"response": ["a"]}, "field 'response' is [\"a\"], not text"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("dolly_open_qa", ROW, **change) == why


def test_an_empty_response_is_named() -> None:
    with pytest.raises(EmptyOptionError, match=r"^option 1 of 1 is empty: fill it in or drop the row$"):
        get_task("dolly_open_qa").question({**ROW, "response": " "})
