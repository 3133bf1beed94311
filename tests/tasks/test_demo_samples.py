"""The demo's sample files: as the script writes them, sound, and with answers that follow the rules."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from meshtune.tasks import load

DEMO = Path(__file__).parents[2] / "examples" / "demo"
TASKS = ("boolq", "piqa", "arc_easy", "social_i_qa")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_samples", DEMO / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_script_writes(script: ModuleType) -> None:
    written = script.samples()
    assert set(written) == {f"{task}/{split}.jsonl" for task in TASKS for split in ("train", "test")}
    for name, content in written.items():
        assert (DEMO / name).read_bytes() == content.encode(), f"run make_samples.py again: {name} differs"


@pytest.mark.parametrize("template", ["shared", "own"])
@pytest.mark.parametrize("task", TASKS)
def test_sizes_disjoint_prompts_and_balanced_answers(task: str, template: str) -> None:
    train, test = load(task, "train", DEMO, template), load(task, "test", DEMO, template)
    assert (len(train), len(test)) == (120, 40)
    prompts = {q.prompt for q in train} | {q.prompt for q in test}
    assert len(prompts) == 160
    assert len({q.id for q in train}) == 120
    assert all(len(set(q.options)) == len(q.options) for q in train + test)
    counts = Counter(q.answer for q in train)
    fair = 120 / len(train[0].options)
    assert all(0.7 * fair <= counts[place] <= 1.3 * fair for place in range(len(train[0].options)))


def test_boolq_answers_follow_the_passage() -> None:
    for split in ("train", "test"):
        for line in (DEMO / "boolq" / f"{split}.jsonl").read_text().splitlines():
            row = json.loads(line)
            stated = re.search(r"The (\w+) was (\w+) than the (\w+)\.", row["passage"])
            asked = re.fullmatch(r"was the (\w+) (\w+) than the (\w+)", row["question"])
            assert stated is not None
            assert asked is not None
            assert row["answer"] == (stated.groups() == asked.groups())
            assert sorted(stated.groups()) == sorted(asked.groups())


def test_sums_are_right() -> None:
    sums = 0
    for question in load("arc_easy", "train", DEMO) + load("arc_easy", "test", DEMO):
        numbers = [int(number) for number in re.findall(r"\d+", question.prompt)]
        if numbers:
            sums += 1
            assert question.options[question.answer] == str(sum(numbers))
    assert 40 <= sums <= 120


def test_a_job_has_one_tool_and_an_event_one_feeling() -> None:
    for task, pattern in (("piqa", r"How can the \w+ (.*)\?"), ("social_i_qa", r"Question: \w+ (.*?)\.")):
        rule: dict[str, str] = {}
        for question in load(task, "train", DEMO) + load(task, "test", DEMO):
            found = re.search(pattern, question.prompt)
            assert found is not None
            right = question.options[question.answer]
            assert rule.setdefault(found.group(1), right) == right
        assert len(set(rule.values())) >= 8
