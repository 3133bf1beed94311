"""Every task's prompts, options and answers against hand-written expectations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.tasks import TASKS, Question, get_task
from meshtune.tasks.base import EmptyOptionError
from meshtune.tasks.catalogue.hellaswag import clean
from meshtune.tasks.generated import GeneratedTask

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
GSM8K = {"question": "Ann has 3 bags of 6. How many? ", "answer": "3 * 6 = <<3*6=18>>18\n#### 18 "}
DOLLY = {
    "instruction": "Why is it dark?",
    "context": "",
    "response": " It is night.\n\nGo to bed.",
    "category": "open_qa",
}
MBPP = {
    "task_id": 11,
    "text": "Write a function to triple a number. ",
    "code": "import math\r\ndef triple(x): \r\n\treturn 3 * x\r",
    "test_list": ["assert triple(2) == 6", "assert triple(-1) == -3\n"],
    "test_setup_code": "y = 1\r\nz = y",
    "challenge_test_list": [],
}
HUMANEVAL = {
    "task_id": "HumanEval/3",
    "prompt": '\n\ndef mid(a: int) -> int:\n    """ The middle. """\n',
    "canonical_solution": "\n    return a\n",
    "test": "\n\nX = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 1\n\n",
    "entry_point": "mid",
}
ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": GSM8K,
    "dolly_open_qa": DOLLY,
    "mbpp": MBPP,
    "openai_humaneval": HUMANEVAL,
    "boolq": BOOLQ,
    "piqa": PIQA,
    "social_i_qa": SOCIAL,
    "hellaswag": HELLASWAG,
    "arc_easy": ARC,
    "arc_challenge": ARC,
    "scienceqa": SCIENCE,
}

TESTS = "assert triple(2) == 6\nassert triple(-1) == -3"
HEAD = 'def mid(a: int) -> int:\n    """ The middle. """'

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
    "gsm8k": (
        "Question: Ann has 3 bags of 6. How many?\nAnswer:",
        "Question: Ann has 3 bags of 6. How many?\nAnswer:",
        ("3 * 6 = <<3*6=18>>18\n#### 18",),
        0,
        "3",
    ),
    "dolly_open_qa": (
        "Question: Why is it dark?\nAnswer:",
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nWhy is it dark?\n\n### Response:",
        ("It is night.\n\nGo to bed.",),
        0,
        "3",
    ),
    "mbpp": (
        f"Question: Write a function to triple a number.\nThe code must pass these tests:\n{TESTS}\nAnswer:",
        "You are an expert Python programmer, and here is your task: Write a function to triple a number. "
        f"Your code should pass these tests:\n\n{TESTS}\n[BEGIN]",
        ("import math\ndef triple(x): \n\treturn 3 * x",),
        0,
        "11",
    ),
    "openai_humaneval": (
        f"Question: Complete this Python function:\n{HEAD}\nAnswer:",
        f"Write a solution to the following problem and make sure that it passes the tests:\n```python\n{HEAD}\n```",
        (f"{HEAD}\n\n    return a",),
        0,
        "HumanEval/3",
    ),
}
# What stops a written answer, and of code what checks it and what it was given.
WRITTEN: dict[str, tuple[Any, ...]] = {
    "gsm8k": (True, True, "\nQuestion:"),
    "dolly_open_qa": (True, True, "\nQuestion:"),
    "mbpp": (True, True, "\nQuestion:", f"y = 1\nz = y\n{TESTS}"),
    "openai_humaneval": (
        True,
        True,
        "\nQuestion:",
        "X = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 1\n\ncheck(mid)",
        HEAD,
    ),
}
EXPECTED["arc_challenge"] = EXPECTED["arc_easy"]


HUB = [name for name in TASKS if not isinstance(TASKS[name], GeneratedTask)]


@pytest.mark.parametrize("name", HUB)
def test_question_of_a_row(name: str) -> None:
    shared, own, options, answer, row_id = EXPECTED[name]
    task, more = get_task(name), WRITTEN.get(name, ())
    assert task.question(ROWS[name], "shared", 3) == Question(row_id, name, shared, options, answer, *more)
    assert task.question(ROWS[name], "own", 3) == Question(row_id, name, own, options, answer, *more)
    assert task.question({field: ROWS[name][field] for field in task.fields}).options == options


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
        ("boolq", {"question": None}, "'question' is null, not text"),
        ("piqa", {"label": 2}, "option 3, but the row has 2"),
        ("piqa", {"label": -1}, "answers are hidden"),
        ("piqa", {"label": True}, "not the number of an option"),
        ("piqa", {"label": "first"}, "not the number of an option"),
        ("piqa", {"label": "9" * 5000}, "not the number of an option"),
        ("social_i_qa", {"label": "0"}, "options are counted from 1"),
        ("social_i_qa", {"label": "4"}, "option 4, but the row has 3"),
        ("hellaswag", {"label": ""}, "not the number of an option"),
        ("hellaswag", {"endings": "one"}, "not a list of texts"),
        ("hellaswag", {"endings": ["only"]}, "at least two options"),
        ("arc_easy", {"answerKey": "E"}, "none of the labels 1, 2, 3, 4"),
        ("arc_easy", {"choices": ["light"]}, "not an object"),
        ("arc_easy", {"choices": {"text": ["a", "b"], "label": ["A"]}}, "2 texts but 1 labels"),
        ("scienceqa", {"answer": 5}, "option 6, but the row has 2"),
        ("scienceqa", {"choices": [1, 2]}, "not a list of texts"),
        ("gsm8k", {"question": ""}, "'question' is empty"),
        ("gsm8k", {"answer": "It is 18."}, "'answer' has no number behind ####"),
        ("gsm8k", {"answer": "18\n#### many"}, "'answer' has no number behind ####"),
        ("gsm8k", {"answer": 18}, "'answer' is 18, not text"),
        ("dolly_open_qa", {"instruction": None}, "'instruction' is null, not text"),
        ("dolly_open_qa", {"response": ["a"]}, "'response' is .*, not text"),
        ("mbpp", {"code": "def triple(x) return"}, "'code' is no Python program"),
        ("mbpp", {"code": " "}, "'code' is empty"),
        ("mbpp", {"test_list": "assert True"}, "'test_list' is .*, not a list of texts"),
        ("mbpp", {"test_list": ["assert"]}, "'test_list' is no Python program"),
        ("mbpp", {"test_list": []}, "'test_list' is empty"),
        ("mbpp", {"test_setup_code": "x ="}, "'test_setup_code' is no Python program"),
        ("openai_humaneval", {"prompt": "def mid(a):"}, "'prompt' is no Python program"),
        ("openai_humaneval", {"entry_point": "top"}, "'prompt' does not define top"),
        ("openai_humaneval", {"canonical_solution": " "}, "'canonical_solution' is no text"),
        ("openai_humaneval", {"canonical_solution": "return a"}, "is no Python function"),
        ("openai_humaneval", {"test": "assert check"}, "'test' does not define check"),
        ("openai_humaneval", {"task_id": 3}, "'task_id' is 3, not text"),
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
        ("dolly_open_qa", {"response": " "}),
    ],
)
def test_an_empty_option_is_rejected(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(EmptyOptionError, match=r"option . of . is empty"):
        get_task(name).question({**ROWS[name], **change})


def test_dolly_keeps_open_questions_and_parts_the_hubs_rows_by_their_instruction() -> None:
    task = get_task("dolly_open_qa")
    assert task.keep(DOLLY)
    assert task.keep({"instruction": "Why?", "response": "So."})
    assert not task.keep({**DOLLY, "category": "closed_qa"})
    parts = [task.part({**DOLLY, "instruction": f"Why is {n}?", "response": str(n)}) for n in range(2000)]
    assert set(parts) == {"train", "test"}
    assert abs(parts.count("test") - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
    for n in range(50):
        assert task.part({"instruction": f" Why is {n}?\n", "response": "else"}) == parts[n]


def test_unknown_template() -> None:
    with pytest.raises(UserError, match="unknown template 'fancy': choose one of shared, own"):
        get_task("piqa").question(PIQA, "fancy")
