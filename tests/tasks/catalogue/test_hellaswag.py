"""HellaSwag: the hub's two parts of a context, and mark-up that nobody should read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_rows import check_question, refusal
from meshtune.tasks import Question, get_task
from meshtune.tasks.base import EmptyOptionError
from meshtune.tasks.catalogue.hellaswag import clean

ROW: dict[str, Any] = {
    "ind": 7,
    "activity_label": "Baking",
    "ctx": "A cook mixes dough. He",
    "endings": ["swims.", "[step] Then  bakes it.", "sings.", "naps."],
    "label": "1",
}


def test_a_row_as_a_question() -> None:
    shared = "Question: A cook mixes dough. He\nAnswer:"
    options = ("swims.", "Then bakes it.", "sings.", "naps.")
    check_question(ROW, Question("7-3", "hellaswag", shared, options, 1), "Baking: A cook mixes dough. He")


def test_a_row_of_no_source_has_its_number_for_an_id() -> None:
    assert get_task("hellaswag").question({**ROW, "ind": None}, number=5).id == "5"


def test_the_second_part_of_the_hubs_context_is_capitalised() -> None:
    row = {**ROW, "ctx": "A cook mixes dough. he", "ctx_a": "A cook mixes dough.", "ctx_b": "he"}
    assert get_task("hellaswag").question(row, "own").prompt == "Baking: A cook mixes dough. He"
    row = {**row, "ctx_a": "[header] How to bake [title] Mix the dough.", "ctx_b": ""}
    assert get_task("hellaswag").question(row, "own").prompt == "Baking: How to bake. Mix the dough."


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        (
            "[header] How to fry an egg [title] Heat a pan. [step] Wait.",
            "How to fry an egg. Heat a pan. Wait.",
        ),
        ("[title] Alone [substeps] at   last ", "Alone at last"),
        ("nothing to clean", "nothing to clean"),
        ("an [open bracket", "an [open bracket"),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text(alphabet="ab. []", max_size=40))
def test_cleaning_leaves_no_mark_and_no_double_space(raw: str) -> None:
    cleaned = clean(raw)
    assert "  " not in cleaned
    assert cleaned == cleaned.strip()
    first = cleaned.find("[")
    assert first < 0 or "]" not in cleaned[first:]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"label": ""}, "field 'label' is \"\", not the number of an option counted from 0"),
        ({"endings": "one"}, "field 'endings' is \"one\", not a list of texts"),
        ({"endings": ["only"]}, "a question needs at least two options, this row has 1"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], why: str) -> None:
    assert refusal("hellaswag", ROW, **change) == why


def test_an_ending_of_mark_up_alone_is_empty() -> None:
    with pytest.raises(EmptyOptionError, match=r"^option 2 of 4 is empty: fill it in or drop the row$"):
        get_task("hellaswag").question({**ROW, "endings": ["a", "[step] ", "c", "d"]})
