"""Whole runs with a task whose answers are written: what is stored, that it is asked once, and that it resumes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from meshtune.config.config_file import validate
from meshtune.config.learning_config import ModelConfig
from meshtune.decoding.sampling import Writing
from meshtune.evaluation import asks as asking
from meshtune.inference.opening import DeviceLoader
from meshtune.model.loading import load
from meshtune.report.comparison import write_report
from meshtune.runs.events import Event, Progress, Scored
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import evaluate, run
from written import Adding, register, write_data

ELSEWHERE = 2


class Watch(Silent):
    """Keeps what it is told of scoring, and presses Ctrl+C behind an exam where it is told to."""

    def __init__(self, stop_behind: int | None = None) -> None:
        self.scored: list[tuple[str, int, int]] = []
        self._stop = stop_behind

    def __call__(self, event: Event) -> None:
        if isinstance(event, Scored):
            self.scored.append((event.task, event.done, event.total))
        if isinstance(event, Progress) and event.phase == "score" and event.done == self._stop:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> dict[str, Any]:
    source = write_data(tmp_path_factory.mktemp("data") / "adding")
    return {
        **whole_settings,
        "model": {"name": "tiny-random"},
        "tasks": [{"task": "adding", "source": str(source)}, "boolq"],
        "devices": {"per_task": 2},
        "router": {**whole_settings["router"], "also": ["top1"]},
        "eval": {"questions": 4, "elsewhere": ELSEWHERE},
        "methods": ["bank", "lora", "hard_moe", "local"],
    }


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, written: dict[str, Any]
) -> tuple[Path, list[tuple[Any, ...]], list[tuple[str, int, int]]]:
    """The run's folder, every (expert or gates, prompt) that an answer was written for, and what was told."""
    asked: list[tuple[Any, ...]] = []
    generate = asking.generate

    def watched(base: Any, asks: Any, writing: Writing, *more: Any) -> list[list[str]]:
        assert writing == Writing(Adding.longest_answer)
        bank = more[1]
        for ask in asks:
            who = ask.expert.digest if ask.expert is not None else "frozen"
            asked.append((who if ask.gates is None else (bank.digest, ask.gates.tobytes()), ask.prompt))
        return generate(base, asks, writing, *more)

    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "generate", watched)
        folder = run(validate(written, "test"), tmp_path_factory.mktemp("runs") / "whole", watch)
    return folder, asked, watch.scored


def records(folder: Path, task: str = "adding") -> list[dict[str, Any]]:
    return [record for record in RunStore.open(folder).read_scores() if record["task"] == task]


def test_a_written_task_has_answers_and_no_option_nll(finished: tuple[Path, Any, Any]) -> None:
    found = records(finished[0])
    assert {r["method"] for r in found} == {"frozen", "bank", "bank:top1", "lora", "hard_moe", "local"}
    for record in found:
        assert "option_nll" not in record
        assert record["acc"] == record["acc_norm"] == [float(len(text) % 2 == 0) for text in record["answers"]]
        assert len(record["answers"]) == len(record["questions"]) == len(record["nll"])
    assert {value for record in found for value in record["acc"]} == {0.0, 1.0}
    assert all("answers" not in record and "option_nll" in record for record in records(finished[0], "boolq"))
    rows = json.loads((finished[0] / "results.json").read_text())["rows"]
    assert {r["metric"] for r in rows if r["task"] == "adding"} == {"nll", "acc", "acc_norm"}
    assert {r["metric"] for r in rows if r["task"] == "boolq"} == {"nll", "option_nll", "acc", "acc_norm"}


def test_the_frozen_model_is_recorded_as_it_answers_alone(finished: tuple[Path, Any, Any]) -> None:
    base = load(ModelConfig(name="tiny-random", device="cpu"))
    (record,) = (r for r in records(finished[0]) if r["method"] == "frozen")
    for number, answer, nll in zip(record["questions"], record["answers"], record["nll"], strict=True):
        n = 50 + int(number)
        prompt = base.tokenizer(f"Question: How much is {n} and {n * n % 17}?\nAnswer:")["input_ids"]
        tokens = list(prompt)
        with torch.no_grad():
            for _ in range(Adding.longest_answer):
                tokens.append(int(base.model(torch.tensor([tokens])).logits[0, -1].argmax()))
            reference = base.tokenizer(f" {n + n * n % 17}")["input_ids"]
            logits = base.model(torch.tensor([[*prompt, *reference]])).logits[0, len(prompt) - 1 : -1]
        assert answer == base.tokenizer.decode(tokens[len(prompt) :]).split("\n")[0].strip()
        assert nll == pytest.approx(float(F.cross_entropy(logits, torch.tensor(reference))), rel=1e-4)


def test_what_answers_alike_is_asked_once(finished: tuple[Path, Any, Any]) -> None:
    _, asked, told = finished
    assert max(Counter(asked).values()) == 1
    found = records(finished[0])
    assert len(asked) <= sum(len(record["questions"]) for record in found)
    told_of = [(done, total) for task, done, total in told if task == "adding"]
    assert told_of[-1] == (2 * len(asked), 2 * len(asked))  # a reference scored and an answer written each
    assert [done for done, _ in told_of] == sorted(done for done, _ in told_of)


def test_a_stopped_run_ends_in_the_same_answers(
    tmp_path: Path, written: dict[str, Any], finished: tuple[Path, Any, Any]
) -> None:
    config = validate(written, "test")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "cut", Watch(stop_behind=1))
    assert records(tmp_path / "cut")
    again = Watch()
    run(config, tmp_path / "cut", again)
    assert {task for task, _, _ in again.scored} == {"boolq"}
    assert records(tmp_path / "cut") == records(finished[0])
    rows = [json.loads((folder / "results.json").read_text())["rows"] for folder in (finished[0], tmp_path / "cut")]
    assert rows[0] == rows[1]


def test_an_exam_that_was_stopped_while_it_was_written_keeps_what_it_has(
    tmp_path: Path, written: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {**written, "tasks": written["tasks"][:1], "methods": ["local"]}
    config = validate({**tree, "eval": {"questions": 4, "micro_tokens": 64}}, "test")
    whole = run(config, tmp_path / "whole", Silent())
    keep = RunStore.append_answers
    kept: list[list[Any]] = []

    def note(store: RunStore, record: Any) -> None:
        keep(store, record)
        kept.append([(who, question) for who, question, _ in record["answers"]])
        if len(kept) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "append_answers", note)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "cut", Silent())
        assert not records(tmp_path / "cut")
        assert run(config, tmp_path / "cut", Silent())
    assert len(kept) > 3
    answered = [who for batch in kept for who in batch]
    assert len(answered) == len(set(answered))  # nothing was written twice
    assert records(tmp_path / "cut") == records(whole)
    assert not (tmp_path / "cut" / "answers.jsonl").exists()


def test_a_device_says_the_same_when_it_is_asked_alone(finished: tuple[Path, Any, Any]) -> None:
    who = [(None, "bank", 1), ("top1", "bank:top1", 2), (None, "lora", 0), (None, "local", 3)]
    for router, label, device in [*who, (None, "frozen", 0)]:
        speaker = DeviceLoader(finished[0], Silent()).load(device, label.split(":")[0], router)
        (record,) = (r for r in records(finished[0]) if r["method"] == label and device in r["devices"])
        for number, answer in zip(record["questions"], record["answers"], strict=True):
            n = 50 + int(number)
            assert speaker.ask(f"How much is {n} and {n * n % 17}?", Adding.longest_answer).answer == answer


def test_another_exam_asks_in_the_same_order_and_the_report_says_what_is_left_out(
    finished: tuple[Path, Any, Any],
) -> None:
    folder = finished[0]
    before = {(r["method"], *r["devices"]): r["answers"] for r in records(folder)}
    text = write_report(folder)[0].read_text()
    option = text.split("**option NLL by task")[1].split("**")[1]
    assert "Not measured, as answers are written: adding." in option
    evaluate(folder, Silent(), {"eval": {"questions": 2}})
    short = [r for r in records(folder) if r["signature"].startswith("test/shared/2/")]
    for record in short:
        if record["method"] != "local":
            assert record["answers"] == before[record["method"], *record["devices"]][:2]
    assert short
    evaluate(folder, Silent())
