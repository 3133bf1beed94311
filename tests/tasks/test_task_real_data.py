"""Every task on its real rows. The data is not part of the project: MESHTUNE_DATA names a folder of it."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from meshtune.tasks import TASKS, get_task, load
from meshtune.tasks.catalogue.hellaswag import clean

FOLDER = os.environ.get("MESHTUNE_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="MESHTUNE_DATA is not set: no folder with the real task data")


WHOLE = {
    "gsm8k": "{answer}",
    "dolly_open_qa": "{response}",
    "mbpp": "{code}",
    "openai_humaneval": "{prompt}{canonical_solution}",
}


def raw_rows(task: str, split: str) -> list[dict[str, Any]]:
    path = Path(FOLDER) / task / f"{split}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"the folder in MESHTUNE_DATA has no {task}/{split}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def right_text(task: str, row: dict[str, Any]) -> str:
    """Return the right answer of a raw row, read off the schema without the package."""
    if task == "boolq":
        return "yes" if row["answer"] else "no"
    if task == "piqa":
        return str(row[f"sol{row['label'] + 1}"])
    if task == "social_i_qa":
        return str(row["answer" + " ABC"[int(row["label"])]])
    if task == "hellaswag":
        return str(row["endings"][int(row["label"])])
    if task == "scienceqa":
        return str(row["choices"][row["answer"]])
    if task in WHOLE:
        return WHOLE[task].format_map(row)
    return str(dict(zip(row["choices"]["label"], row["choices"]["text"], strict=True))[row["answerKey"]])


@pytest.mark.parametrize(("task", "split"), [(task, split) for task in TASKS for split in TASKS[task].splits])
def test_every_row_becomes_a_sound_question(task: str, split: str) -> None:
    rows = raw_rows(task, split)
    for template in ("shared", "own"):
        questions = load(task, split, FOLDER, template)
        assert len(questions) == len(rows)
        assert len({question.id for question in questions}) == len(rows)
        for row, question in zip(rows, questions, strict=True):
            # Cleaning and stripping may only take spaces out of rows that are clean already.
            right = question.options[question.answer]
            assert "".join(right.split()) == "".join(right_text(task, row).split())
            assert question.prompt == question.prompt.strip()
            assert template == "own" or (
                question.prompt.startswith("Question: ") and question.prompt.endswith("\nAnswer:")
            )


@pytest.mark.parametrize("task", [task for task in TASKS if len(set(TASKS[task].splits)) == 2])
def test_no_prompt_is_in_both_splits(task: str) -> None:
    for split in ("train", "test"):
        raw_rows(task, split)  # skips where the folder lacks the task
    train = {(q.prompt, frozenset(q.options)) for q in load(task, "train", FOLDER)}
    assert not train & {(q.prompt, frozenset(q.options)) for q in load(task, "test", FOLDER)}


@pytest.mark.parametrize("task", WHOLE)
def test_written_references_are_no_longer_than_their_stops_allow(task: str) -> None:
    for split in TASKS[task].splits:
        raw_rows(task, split)
        for question in load(task, split, FOLDER):
            assert not any(stop in question.options[0] for stop in get_task(task).stops)


def test_gsm8k_references_are_right_and_others_answers_are_not() -> None:
    raw_rows("gsm8k", "test")
    task, questions = get_task("gsm8k"), load("gsm8k", "test", FOLDER)
    texts = [question.options[0] for question in questions]
    assert task.grade(questions, texts) == [{"acc": 1.0}] * len(questions)
    numbers = [text.split("####")[1].strip() for text in texts]
    assert task.grade(questions, [f"That makes {number}." for number in numbers]) == [{"acc": 1.0}] * len(questions)
    moved = [*numbers[1:], numbers[0]]
    found = [grade["acc"] == 1 for grade in task.grade(questions, moved)]
    assert found == [number == other for number, other in zip(numbers, moved, strict=True)]


def test_dolly_references_have_rouge_1_and_others_answers_little() -> None:
    raw_rows("dolly_open_qa", "test")
    task, questions = get_task("dolly_open_qa"), load("dolly_open_qa", "test", FOLDER)
    texts = [question.options[0] for question in questions]
    assert task.grade(questions, texts) == [{"rouge_l": 1.0}] * len(questions)
    others = [grade["rouge_l"] for grade in task.grade(questions, [*texts[1:], texts[0]])]
    assert max(others) < 1
    assert sum(others) / len(others) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(("task", "split"), [("mbpp", "train"), ("mbpp", "test"), ("openai_humaneval", "test")])
def test_code_references_pass_and_what_is_broken_does_not(task: str, split: str) -> None:
    raw_rows(task, split)
    questions = load(task, split, FOLDER)
    texts = [question.options[0] for question in questions]
    assert get_task(task).grade(questions, texts) == [{"acc": 1.0}] * len(questions)
    assert get_task(task).grade(questions[:20], [*texts[1:20], texts[0]]) == [{"acc": 0.0}] * 20
    if task == "openai_humaneval":  # the body alone, and what it leaves out
        bodies = [row["canonical_solution"].rstrip() for row in raw_rows(task, split)]
        assert get_task(task).grade(questions, bodies) == [{"acc": 1.0}] * len(questions)
        lost = [body.strip() for body in bodies]
        assert get_task(task).grade(questions, lost) == [{"acc": 1.0}] * len(questions)
        assert get_task(task).grade(questions, [""] * len(questions)) == [{"acc": 0.0}] * len(questions)


def test_cleaning_changes_nothing_but_spaces_in_clean_text() -> None:
    for split in ("train", "test"):
        for row in raw_rows("hellaswag", split):
            assert clean(row["ctx"]).split() == row["ctx"].split()
