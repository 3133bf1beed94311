"""What is said of the number of rows and of those that are cut, checked against the tokenizer's own counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.learning_config import ModelConfig
from meshtune.data.partition import deal, exam_questions, exams
from meshtune.data.pools import gather
from meshtune.data.row_counts import counts_note, cut_rows
from meshtune.model.loading import load
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from whole_runs import Watch, header


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load(ModelConfig(name="tiny-random", device="cpu")).tokenizer


def test_every_device_and_exam_is_told_of(whole_settings: dict[str, Any]) -> None:
    config = validate({**whole_settings, "devices": {"count": 4}}, "test")
    pools = gather(config)
    note = counts_note(deal(config, pools=pools), pools.exams, exam_questions(config, pools))
    assert note == (
        "training rows of a device: boolq 13 (2 devices), arc_easy 26, piqa 26; questions of each exam: boolq 4 of 12, "
        "arc_easy 4 of 12, piqa 4 of 12"
    )


@pytest.mark.parametrize("task", ["dolly_open_qa", "piqa"])
def test_cut_rows_are_counted_as_the_tokenizer_has_them(tmp_path: Path, tokenizer: Any, task: str) -> None:
    (tmp_path / task).mkdir()
    limit = 24
    for split, add in {"train": 0, "test": 100}.items():
        lengths = range(add, add + 12)
        rows: list[dict[str, Any]] = [
            {"instruction": "Why " * (n % 12) + f"{n}?", "response": "So " * (3 * (n % 12) + 1)}
            if task == "dolly_open_qa"
            else {"goal": "Do " * (n % 12) + f"{n}.", "sol1": "a b", "sol2": "c " * (n % 5 + 1), "label": 0}
            for n in lengths
        ]
        (tmp_path / task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tree = {"tasks": [task], "data": str(tmp_path), "validation": 0, "model": {"name": "tiny-random"}}
    config = validate({**tree, "train": {"max_tokens": limit, "rounds": 4, "steps": 8}}, "test")
    pools = gather(config)
    devices, papers = deal(config, tokenizer, pools), exams(config, tokenizer, exam_questions(config, pools))
    notes, facts = cut_rows(config, devices, papers)
    assert tokenizer.eos_token_id is None  # the end of an answer is its stop, which takes room too
    tokens = lost = cut = 0
    for question in devices[0].questions:
        text = f"{question.prompt} {question.options[question.answer]}"
        end = question.stop if question.ends else ""
        whole, learnt = (len(tokenizer(one)["input_ids"]) for one in (text, text + end))
        tokens, cut, lost = tokens + whole, cut + (learnt > limit), lost + max(0, learnt - limit)
    found = facts[task]["cut_training"]
    assert (found["rows"], found["cut"], found["tokens"]) == (12, cut, tokens)
    assert 0 < cut <= 12
    stop = len(tokenizer(devices[0].questions[0].stop)["input_ids"]) if task == "dolly_open_qa" else 0
    assert lost - cut * stop <= found["lost"] <= lost  # what is lost of the stop is no loss
    assert (found["answers_cut"] > 0) == (task == "dolly_open_qa")
    asked = facts[task]["cut_asked"]
    assert asked["rows"] == 12
    assert f"{cut} of 12 training rows of {task} are longer than train.max_tokens={limit}" in notes[0]
    assert f"{asked['cut']} of 12 questions of {task}" in notes[1]
    assert ("no answer is cut" in notes[0]) == (task == "piqa")
    unhurt = config.model_copy(update={"train": config.train.model_copy(update={"max_tokens": 4096})})
    assert cut_rows(unhurt, deal(unhurt, tokenizer, pools), exams(unhurt, tokenizer))[0] == []


def test_the_counts_of_a_run_are_in_its_events_and_results(tmp_path: Path, whole_settings: dict[str, Any]) -> None:
    config = validate({**whole_settings, "model": {"name": "tiny-random"}, "methods": ["local"]}, "test")
    watch = Watch()
    run(config, tmp_path / "run", watch)
    (event,) = (event for event in RunStore.open(tmp_path / "run").events() if event["event"] == "data")
    assert event["tasks"] == header(tmp_path / "run")["data"]
    assert {name: (f["validation"], f["train"], f["test"]) for name, f in event["tasks"].items()} == dict.fromkeys(
        ("boolq", "arc_easy", "piqa"), (4, 26, 12)
    )
    assert any(text.startswith("training rows of a device: boolq 26") for text in watch.texts)
