"""Every task on its real rows. The data is not part of the project: MESHTUNE_DATA names a folder of it."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from meshtune.tasks import TASKS, load
from meshtune.tasks.hellaswag import clean

FOLDER = os.environ.get("MESHTUNE_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="MESHTUNE_DATA is not set: no folder with the real task data")


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
    return str(dict(zip(row["choices"]["label"], row["choices"]["text"], strict=True))[row["answerKey"]])


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("task", TASKS)
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


@pytest.mark.parametrize("task", TASKS)
def test_no_prompt_is_in_both_splits(task: str) -> None:
    for split in ("train", "test"):
        raw_rows(task, split)  # skips where the folder lacks the task
    train = {(q.prompt, frozenset(q.options)) for q in load(task, "train", FOLDER)}
    assert not train & {(q.prompt, frozenset(q.options)) for q in load(task, "test", FOLDER)}


def test_cleaning_changes_nothing_but_spaces_in_clean_text() -> None:
    for split in ("train", "test"):
        for row in raw_rows("hellaswag", split):
            assert clean(row["ctx"]).split() == row["ctx"].split()
