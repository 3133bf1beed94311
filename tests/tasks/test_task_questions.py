"""Every task's prompts, options and answers against hand-written expectations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.tasks import TASKS, Question, get_task
from meshtune.tasks.base import EmptyOptionError
from meshtune.tasks.generated import GeneratedTask
from meshtune.tasks.hellaswag import clean

BOOLQ = {"question": "is a whale a fish", "passage": "A whale is a mammal. ", "answer": False}
PIQA = {"goal": "Open a jar.", "sol1": " Twist the lid.", "sol2": "Kick the lid. ", "label": 0}
SOCIAL = {
    "context": "Ann fed the cat.",
    "question": "What will Ann do next?",
    "answerA": "cry",
    "answerB": "wash the bowl",
    "answerC": "fly",
    "label": "2",
}
HELLASWAG = {
    "ind": 7,
    "activity_label": "Baking",
    "ctx": "A cook mixes dough. He",
    "endings": ["swims.", "[step] Then  bakes it.", "sings.", "naps."],
    "label": "1",
}
ARC = {
    "id": "Q1",
    "question": "What do plants need?",
    "choices": {"text": ["light", "cars", "shoes", "glue"], "label": ["1", "2", "3", "4"]},
    "answerKey": "1",
}
SCIENCE = {
    "pid": "42",
    "question": "Which floats?",
    "choices": ["cork", "iron"],
    "answer": 0,
    "hint": "Both are in water.",
}
ROWS: dict[str, dict[str, Any]] = {
    "boolq": BOOLQ,
    "piqa": PIQA,
    "social_i_qa": SOCIAL,
    "hellaswag": HELLASWAG,
    "arc_easy": ARC,
    "arc_challenge": ARC,
    "scienceqa": SCIENCE,
}

# name: shared prompt, own prompt, options, answer, id of row 3
EXPECTED = {
    "boolq": (
        "Question: A whale is a mammal.\nis a whale a fish?\nAnswer:",
        "A whale is a mammal.\nQuestion: is a whale a fish?\nAnswer:",
        ("yes", "no"),
        1,
        "3",
    ),
    "piqa": (
        "Question: Open a jar.\nAnswer:",
        "Question: Open a jar.\nAnswer:",
        ("Twist the lid.", "Kick the lid."),
        0,
        "3",
    ),
    "social_i_qa": (
        "Question: Ann fed the cat. What will Ann do next?\nAnswer:",
        "Q: Ann fed the cat. What will Ann do next?\nA:",
        ("cry", "wash the bowl", "fly"),
        1,
        "3",
    ),
    "hellaswag": (
        "Question: A cook mixes dough. He\nAnswer:",
        "Baking: A cook mixes dough. He",
        ("swims.", "Then bakes it.", "sings.", "naps."),
        1,
        "7-3",
    ),
    "arc_easy": (
        "Question: What do plants need?\nAnswer:",
        "Question: What do plants need?\nAnswer:",
        ("light", "cars", "shoes", "glue"),
        0,
        "Q1",
    ),
    "scienceqa": (
        "Question: Both are in water.\nWhich floats?\nAnswer:",
        "Context: Both are in water.\nQuestion: Which floats?\nAnswer:",
        ("cork", "iron"),
        0,
        "42",
    ),
}
EXPECTED["arc_challenge"] = EXPECTED["arc_easy"]


HUB = [name for name in TASKS if not isinstance(TASKS[name], GeneratedTask)]


@pytest.mark.parametrize("name", HUB)
def test_question_of_a_row(name: str) -> None:
    shared, own, options, answer, row_id = EXPECTED[name]
    task = get_task(name)
    assert task.question(ROWS[name], "shared", 3) == Question(row_id, name, shared, options, answer)
    assert task.question(ROWS[name], "own", 3) == Question(row_id, name, own, options, answer)


@pytest.mark.parametrize("name", HUB)
def test_every_required_field_is_missed_by_name(name: str) -> None:
    task = get_task(name)
    for field in task.fields:
        row = {key: value for key, value in ROWS[name].items() if key != field}
        with pytest.raises(UserError, match=f"field '{field}' is missing"):
            task.question(row)


def test_boolq_true_is_yes_and_a_question_mark_is_not_doubled() -> None:
    question = get_task("boolq").question({**BOOLQ, "question": "is it so?", "answer": True})
    assert question.options[question.answer] == "yes"
    assert question.prompt.endswith("\nis it so?\nAnswer:")


def test_scienceqa_without_a_hint_has_no_context() -> None:
    row = {**SCIENCE, "hint": ""}
    assert get_task("scienceqa").question(row, "own").prompt == "Question: Which floats?\nAnswer:"
    assert get_task("scienceqa").question(row).prompt == "Question: Which floats?\nAnswer:"


def test_scienceqa_keeps_text_only_rows() -> None:
    task = get_task("scienceqa")
    assert task.keep(SCIENCE)
    assert task.keep({**SCIENCE, "image": None})
    assert not task.keep({**SCIENCE, "image": {"bytes": b"x", "path": None}})


def test_hellaswag_capitalises_the_second_part_of_the_hubs_context() -> None:
    row = {**HELLASWAG, "ctx": "A cook mixes dough. he", "ctx_a": "A cook mixes dough.", "ctx_b": "he"}
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
def test_hellaswag_cleaning(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text(alphabet="ab. []", max_size=40))
def test_hellaswag_cleaning_leaves_no_mark_and_no_double_space(raw: str) -> None:
    cleaned = clean(raw)
    assert "  " not in cleaned
    assert cleaned == cleaned.strip()
    first = cleaned.find("[")
    assert first < 0 or "]" not in cleaned[first:]


@given(st.data())
def test_arc_answer_is_the_text_under_the_key(data: st.DataObject) -> None:
    options = data.draw(st.lists(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=5))
    labels = data.draw(st.permutations("ABCDE"))[: len(options)]
    right = data.draw(st.integers(0, len(options) - 1))
    row = {"question": "Which?", "choices": {"text": options, "label": labels}, "answerKey": labels[right]}
    question = get_task("arc_easy").question(row)
    assert question.options[question.answer] == options[right]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("boolq", {"answer": "yes"}, "not true or false"),
        ("boolq", {"passage": " "}, "'passage' is empty"),
        ("boolq", {"question": None}, "'question' is None, not text"),
        ("piqa", {"label": 2}, "option 3, but the row has 2"),
        ("piqa", {"label": -1}, "but the row has 2"),
        ("piqa", {"label": True}, "not the number of an option"),
        ("piqa", {"label": "first"}, "not the number of an option"),
        ("piqa", {"label": "9" * 5000}, "not the number of an option"),
        ("social_i_qa", {"label": "0"}, "but the row has 3"),
        ("social_i_qa", {"label": "4"}, "option 4, but the row has 3"),
        ("hellaswag", {"label": ""}, "not the number of an option"),
        ("hellaswag", {"endings": "one"}, "not a list of texts"),
        ("hellaswag", {"endings": ["only"]}, "at least two options"),
        ("arc_easy", {"answerKey": "E"}, "none of the labels 1, 2, 3, 4"),
        ("arc_easy", {"choices": ["light"]}, "not an object"),
        ("arc_easy", {"choices": {"text": ["a", "b"], "label": ["A"]}}, "2 texts but 1 labels"),
        ("scienceqa", {"answer": 5}, "option 6, but the row has 2"),
        ("scienceqa", {"choices": [1, 2]}, "not a list of texts"),
    ],
)
def test_a_wrong_value_is_named(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_task(name).question({**ROWS[name], **change})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("piqa", {"sol2": "  "}),
        ("social_i_qa", {"answerB": ""}),
        ("hellaswag", {"endings": ["a", "[step] ", "c", "d"]}),
        ("arc_easy", {"choices": {"text": ["a", ""], "label": ["1", "2"]}}),
        ("scienceqa", {"choices": ["cork", " "]}),
    ],
)
def test_an_empty_option_is_rejected(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(EmptyOptionError, match=r"option 2 of . is empty"):
        get_task(name).question({**ROWS[name], **change})


def test_unknown_template() -> None:
    with pytest.raises(UserError, match="unknown template 'fancy': choose one of shared, own"):
        get_task("piqa").question(PIQA, "fancy")
