"""``meshtune ask`` as a user meets it, on a run of seconds."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from meshtune.cli.main import app
from meshtune.config.config_file import validate
from meshtune.routing.abstention import Abstention
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

QUICK = {"rounds": 1, "steps": 1, "batch": 1, "warmup": 0}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> Path:
    settings = {**whole_settings, "train": QUICK, "eval": {"questions": 1}, "methods": ["proposed", "local"]}
    return run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "run", Silent())


def call(*args: str | Path) -> Any:
    return CliRunner().invoke(app, ["ask", *map(str, args)])


def test_the_answer_who_gave_it_and_how_sure_the_router_was(finished: Path) -> None:
    asked = [finished, "Cut board 3", "--device", "2", "--tokens", "4"]
    told = json.loads(call(*asked, "--format", "json").stdout)
    assert {k: told[k] for k in ("run", "round", "device", "method", "router", "prompt", "options")} == {
        "run": str(finished),
        "round": 1,
        "device": 2,
        "method": "proposed",
        "router": "whitened",
        "prompt": "Question: Cut board 3\nAnswer:",
        "options": [],
    }
    experts = told["experts"]
    assert {(e["task"], *e["devices"]) for e in experts} == {("boolq", 0), ("arc_easy", 1), ("piqa", 2)}
    shown = call(*asked)
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    first = experts[0]
    assert lines[0].isprintable()
    words = " ".join(shown.stdout.split())
    assert f"Device 2 answered with the expert of {first['task']}, trained by device {first['devices'][0]};" in words
    assert f"its whitened router gave it {100 * first['gate']:.0f}% (proposed, after round 1)." in words
    gates = [
        line.split()[-1] for line in lines if line.split()[:1] and line.split()[0] in ("boolq", "arc_easy", "piqa")
    ]
    assert gates == [f"{e['gate']:.3f}" for e in experts]


def test_drawn_answers_depend_on_the_seed_and_lines_are_shown_without_what_moves_the_cursor(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [finished, "Cut board 3", "--tokens", "6", "--temperature", "1.5", "--format", "json", "--seed"]
    first, again, other = (json.loads(call(*asked, seed).stdout)["answer"] for seed in ("4", "4", "5"))
    assert first == again != other
    speaker = importlib.import_module("meshtune.inference.device")
    monkeypatch.setattr(speaker, "generate", lambda *args: [["def f(x):\n\treturn x\x1b[2J\r"]])
    shown = call(finished, "Cut board 3").stdout
    assert shown.startswith("def f(x):\n    return x\\x1b[2J\\r\n\nDevice 0")
    raw = json.loads(call(finished, "Cut board 3", "--format", "json").stdout)["answer"]
    assert raw == "def f(x):\n\treturn x\x1b[2J\r"


def test_given_options_are_chosen_from(finished: Path) -> None:
    asked = [finished, "is 4 even?", "--options", "yes|no | maybe", "--method", "local"]
    told = json.loads(call(*asked, "--format", "json").stdout)
    assert sorted(option["text"] for option in told["options"]) == ["maybe", "no", "yes"]
    assert sum(option["probability"] for option in told["options"]) == pytest.approx(1)
    assert told["answer"] == told["options"][0]["text"]
    shown = call(*asked).stdout
    assert shown.splitlines()[0] == told["answer"]
    for option in told["options"]:
        assert f"{option['text']} {option['probability']:.3f}" in " ".join(shown.split())
    assert "Gates" not in shown
    assert "Device 0 answered with the expert of boolq, trained by device 0 (local, after round 1)." in shown
    raw = json.loads(call(*asked, "--raw", "--format", "json").stdout)
    assert raw["prompt"] == "is 4 even?"
    frozen = call(finished, "is 4 even?", "--options", "yes|no", "--method", "frozen").stdout
    assert "The frozen base model answered, without any expert." in frozen


def test_a_router_that_weighs_token_by_token_shows_no_gates(finished: Path) -> None:
    asked = [finished, "Cut board 3", "--router", "arrow", "--tokens", "4"]
    told = json.loads(call(*asked, "--format", "json").stdout)
    assert told["router"] == "arrow"
    assert [expert["gate"] for expert in told["experts"]] == [None] * 3
    words = " ".join(call(*asked).stdout.split())
    assert "answered with 3 experts, weighed token by token by its arrow router (proposed, after round 1)." in words
    assert words.count("by token") == 1 + 3


def test_mistakes_are_one_sentence_and_exit_code_2(finished: Path, tmp_path: Path) -> None:
    for args, words in {
        (tmp_path / "absent", "hello"): "there is no run",
        (tmp_path, "hello"): "holds no run",
        (finished, " "): "the prompt is empty",
        (finished, "hello", "--format", "xml"): "there is no format called xml: choose from table, json",
        (finished, "hello", "--device", "9"): "there is no device 9",
        (finished, "hello", "--method", "lora"): "--method lora: the run has proposed, local, frozen",
        (finished, "hello", "--options", "yes"): "--options needs two or more different answers",
    }.items():
        result = call(*args)
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert (result.exit_code, len(errors), result.stdout) == (2, 1, ""), args
        assert words in errors[0]


@pytest.mark.parametrize("argument", ["-"])
def test_the_question_may_come_on_the_standard_input(finished: Path, argument: str) -> None:
    def asked(given: bytes) -> Any:
        args = ["ask", str(finished), argument, "--options", "yes|no", "--format", "json"]
        return CliRunner().invoke(app, args, input=given)

    assert json.loads(asked("is 4 even? é\n".encode()).stdout)["prompt"] == "Question: is 4 even? é\nAnswer:"
    for given, words in {
        b"": "error: the prompt is empty",
        b" \n": "error: the prompt is empty",
        b"\xff\xfe\x00": "error: the question on stdin is not text in UTF-8",
        b"a" * (2**20 + 1): "error: the question on stdin has more than 1,048,576 bytes: give a shorter one",
    }.items():
        result = asked(given)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


def test_a_question_that_the_model_has_no_room_for_is_refused_instead_of_cut(finished: Path) -> None:
    for more, words in {
        (): "tokens, its answer 32, and the model has 256 positions: shorten the question",
        ("--tokens", "200"): "tokens, its answer 200, and the model has 256 positions: shorten the question",
        ("--options", "yes|no"): "question and option have",
    }.items():
        result = call(finished, "is it so? " * 60, *more)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


def test_what_is_wrong_is_told_before_the_model_is_loaded(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(importlib.import_module("meshtune.inference.opening"), "load", load)
    monkeypatch.setattr(importlib.import_module("meshtune.simulator.run_inputs"), "load", load)
    for args, words in {
        ("--options", "yes|yes"): "--options needs two or more different answers",
        ("--method", "propsed"): "did you mean proposed?",
        ("--device", "9"): "there is no device 9",
        ("--router", "top2"): "there is no router called top2: did you mean top1?",
        ("--router", "retrieval"): "announced none: start a new run with router.also=[top1,cosine,retrieval]",
        ("--temperature", "nan"): "--temperature nan is out of range: give 0, or 0.001 to 1000",
        ("--temperature", "1e-300"): "--temperature 1e-300 is out of range",
        ("--method", "\x1b[2J"): "there is no method called \\x1b[2J",
    }.items():
        result = call(finished, "is 4 even?", *args)
        assert (result.exit_code, result.stdout) == (2, ""), args
        assert words in result.stderr
    for router, words in {"top2": "there is no router called top2", "retrieval": "announced none"}.items():
        result = CliRunner().invoke(app, ["eval", str(finished), "--router", router])
        assert result.exit_code == 2
        assert words in result.stderr


def test_help_teaches_with_an_example_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom meshtune.cli.main import app\n"
        "try:\n    app(['ask', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("[]")
    assert 'meshtune ask runs/demo "Is the sky blue?" --options "yes|no" --device 3' in " ".join(shown.split())


@pytest.mark.parametrize("known", [0.0, 0.25])
def test_what_the_frozen_model_answers_of_it_is_said(
    finished: Path, monkeypatch: pytest.MonkeyPatch, known: float
) -> None:
    from meshtune.evaluation import exam

    made = exam.make_router

    def abstaining(*args: Any) -> Any:
        router = made(*args)
        router.abstention = Abstention([])
        return router

    monkeypatch.setattr(exam, "make_router", abstaining)
    monkeypatch.setattr(Abstention, "known", lambda self, seen: np.full(len(seen), known))
    shown = call(finished, "Cut board 3", "--device", "2", "--tokens", "4")
    assert shown.exit_code == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    assert ("The frozen base model answered: the question is unlike" in words) == (known == 0)
    (line,) = (line for line in shown.stdout.splitlines() if line.strip().startswith("frozen model"))
    assert line.split()[-1] == f"{1 - known:.3f}"
    plain = json.loads(call(finished, "Cut board 3", "--method", "frozen", "--tokens", "4", "--format", "json").stdout)
    if known == 0:
        assert shown.stdout.startswith(plain["answer"].split("\n")[0])
