"""Whole runs whose answers are programs, drawn several times, and of a task that is tested on another one too.

The tiny base writes nothing sensible, so some questions are right whatever is written, and the others never are. What
it writes is run without walls, so that these tests run everywhere; the sandbox has tests of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.errors import UserError
from meshtune.report.comparison import compare, summary, write_report
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.sandbox import execution as walls
from meshtune.simulator.simulation import evaluate, run
from meshtune.tasks.catalogue.dolly_open_qa import DollyOpenQA
from meshtune.tasks.code import CodeTask

EASY = 3  # every third question


def mbpp(number: int) -> dict[str, Any]:
    tests = ["assert True"] if number % EASY == 0 else [f"assert f({number}) == {number + 1}"]
    text = f"Write a function f to add {number} and 1."
    code = f"def f(x):\r\n\treturn x + 1  # {number}\r\n"
    return {"task_id": number, "text": text, "code": code, "test_list": tests, "test_setup_code": ""}


def humaneval(number: int) -> dict[str, Any]:
    check = "True" if number % EASY == 0 else f"candidate(1) == {number + 1}"
    return {
        "task_id": f"T/{number}",
        "prompt": f'def add(x):\n    """ Add {number}. """\n',
        "canonical_solution": f"    return x + {number}\n",
        "test": f"def check(candidate):\n    assert {check}\n",
        "entry_point": "add",
    }


def dolly(number: int) -> dict[str, Any]:
    return {"instruction": f"What is {number}?", "response": f"A number.\n\nIt follows {number - 1}."}


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """Of 256 random bytes as little is right as of 8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodeTask, "longest_answer", 8)
        patch.setattr(DollyOpenQA, "longest_answer", 8)
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data")
    for name, row in {"mbpp": mbpp, "openai_humaneval": humaneval, "dolly_open_qa": dolly}.items():
        (folder / name).mkdir()
        for split, numbers in {"train": range(12), "test": range(20, 29)}.items():
            if (name, split) != ("openai_humaneval", "train"):
                lines = "".join(json.dumps(row(n)) + "\n" for n in numbers)
                (folder / name / f"{split}.jsonl").write_text(lines)
    return {
        **whole_settings,
        "model": {"name": "tiny-random"},
        "data": str(folder),
        "tasks": [{"task": "mbpp", "key": "code", "also": ["openai_humaneval"]}, "dolly_open_qa"],
        "devices": {"per_task": 2},
        "router": {**whole_settings["router"], "also": []},
        "train": {"rounds": 1, "steps": 1, "batch": 2, "warmup": 0, "lr": 3e-3, "lora_lr": 1e-3},
        "eval": {"questions": 6, "unsafe_code": True},
        "methods": ["bank", "hard_moe", "local"],
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Path:
    return run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "whole", Silent())


def records(folder: Path, task: str, mark: str = "") -> list[dict[str, Any]]:
    found = RunStore.open(folder).read_scores()
    return [record for record in found if record["task"] == task and record["signature"].endswith(mark)]


def easy(question: str) -> bool:
    return int(question.removeprefix("T/")) % EASY == 0


def test_answers_are_run_and_a_task_without_right_and_wrong_has_its_own_measure(finished: Path) -> None:
    for task in ("code", "openai_humaneval"):
        for record in records(finished, task):
            assert record["acc"] == [float(easy(question)) for question in record["questions"]]
            assert all(isinstance(text, str) for text in record["answers"])
            assert not {"rouge_l", "option_nll", "pass@1"} & record.keys()
    for record in records(finished, "dolly_open_qa"):
        assert not {"acc", "acc_norm"} & record.keys()
        assert all(0 <= value < 1 for value in record["rouge_l"])
    rows = json.loads((finished / "results.json").read_text())["rows"]
    measured = {task: {r["metric"] for r in rows if r["task"] == task} for task in {r["task"] for r in rows}}
    code = {"nll", "acc", "acc_norm"}
    assert measured == {"code": code, "openai_humaneval": code, "dolly_open_qa": {"nll", "rouge_l"}}


def test_the_further_exam_has_its_own_name_and_the_group_of_what_is_learnt(finished: Path) -> None:
    header = json.loads((finished / "results.json").read_text())["header"]
    assert header["groups"] == {"code": [0, 2], "dolly_open_qa": [1, 3]}
    assert header["exams"] == {"code": "code", "openai_humaneval": "code", "dolly_open_qa": "dolly_open_qa"}
    router = header["router"]["whitened"]
    assert router["groups"] == ["code", "dolly_open_qa"]
    assert [sum(row) for row in router["confusion"]] == [12, 6]
    assert router["regret_by_task"].keys() == {"code", "openai_humaneval", "dolly_open_qa"}
    # The perfect router sends the further exam to the group's expert: devices of both groups answer alike.
    (perfect,) = (r for r in records(finished, "openai_humaneval") if r["method"] == "hard_moe")
    assert perfect["devices"] == [0, 1, 2, 3]
    local = {tuple(r["devices"]): r["nll"] for r in records(finished, "openai_humaneval") if r["method"] == "local"}
    assert local.keys() == {(0,), (1,), (2,), (3,)}
    assert all(nll != perfect["nll"] for (device,), nll in local.items() if device % 2)


def test_an_exam_without_writing_scores_the_references_alone_and_runs_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("something was run")

    with monkeypatch.context() as patch:
        patch.setattr(CodeTask, "grade", never)
        patch.setattr(walls, "check_sandbox", never)
        evaluate(finished, Silent(), {"eval": {"write": False, "unsafe_code": False}})
    for task in ("code", "openai_humaneval", "dolly_open_qa"):
        written = {(r["method"], *r["devices"]): r["nll"] for r in records(finished, task) if "answers" in r}
        unwritten = records(finished, task, "/unwritten")
        assert len(unwritten) == len(written)
        for record in unwritten:
            assert record["nll"] == written[record["method"], *record["devices"]]
            assert not {"acc", "acc_norm", "rouge_l", "answers"} & record.keys()
    evaluate(finished, Silent(), {"eval": {"write": True, "unsafe_code": True}})  # for the tests that follow


def test_the_report_tells_of_every_exam_and_measure(finished: Path) -> None:
    page, picture = write_report(finished)
    text = page.read_text()
    assert "| method | code | openai_humaneval | dolly_open_qa | average | share of gain |" in text
    rouge = text.split("**ROUGE-L by task (higher is better)**")[1].split("**")[0]
    assert "Not measured: code, openai_humaneval." in rouge
    accuracy = text.split("**accuracy by task")[1].split("**")[1]
    assert "Not measured: dolly_open_qa." in accuracy
    frozen = next(line for line in accuracy.splitlines() if line.startswith("| frozen"))
    asked = [records(finished, name)[0]["questions"] for name in ("code", "openai_humaneval")]
    right = sum(easy(question) for questions in asked for question in questions) / 12
    assert frozen.split("|")[5].split("[")[0].strip() == f"{right:.3f}"
    assert "4 devices learnt 2 tasks, 2 on each" in summary(finished)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_samples_are_drawn_and_several_may_be_handed_in(finished: Path) -> None:
    changes = {"eval": {"samples": 3, "temperature": 1.0, "pass_at": [1, 2]}}
    evaluate(finished, Silent(), changes)
    mark = "/3/1.0/1.0/1,2"
    for task in ("code", "openai_humaneval"):
        for record in records(finished, task, mark):
            right = [float(easy(question)) for question in record["questions"]]
            assert record["acc"] == record["pass@1"] == record["pass@2"] == right
            assert all(len(texts) == 3 for texts in record["answers"])
    drawn = [texts for record in records(finished, "code", mark) for texts in record["answers"]]
    assert any(len(set(texts)) == 3 for texts in drawn)
    assert all("pass@1" not in record for record in records(finished, "dolly_open_qa", mark))
    again = {(r["method"], *r["devices"]): r["answers"] for r in records(finished, "code", mark)}
    scores = finished / "scores.jsonl"  # lines that are gone are scored again
    kept = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join(line for line in kept if not json.loads(line)["signature"].endswith(mark)))
    evaluate(finished, Silent(), changes)
    assert {(r["method"], *r["devices"]): r["answers"] for r in records(finished, "code", mark)} == again
    assert "**pass@2 by task (higher is better)**" in write_report(finished)[0].read_text()
    assert "pass@2" in compare([finished], "markdown", "pass@2")
    with pytest.raises(UserError, match=r"there is no metric called pass@5: did you mean pass@2"):
        compare([finished], "markdown", "pass@5")
    evaluate(finished, Silent())


@pytest.mark.parametrize("tasks", [["mbpp"], [{"task": "dolly_open_qa", "also": ["openai_humaneval"]}]])
def test_without_a_sandbox_nothing_is_begun(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tasks: list[Any]
) -> None:
    def refuse() -> None:
        raise UserError("no walls here: `unsafe_code`")

    monkeypatch.setattr(walls, "check_sandbox", refuse)
    walled = {**settings, "tasks": tasks, "eval": {"questions": 1}}
    with pytest.raises(UserError, match="no walls here"):
        run(validate(walled, "test"), tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()
    run(validate({**walled, "tasks": ["dolly_open_qa"]}, "test"), tmp_path / "out", Silent())
