"""The verbs that call the engine, with an engine that only pretends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.errors import UserError
from pretended import call, finish

CONFIG = "tasks: [boolq]\ntrain: {rounds: 3}\n"


def test_a_run_gets_its_configuration_and_folder_and_ends_in_a_report(
    engine: Callable[..., list[Any]], tmp_path: Path
) -> None:
    calls = engine(finish)
    (tmp_path / "c.yaml").write_text(CONFIG)
    result = call("run", tmp_path / "c.yaml", "--set", "train.rounds=2", "--set", "seed=5", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    config, out = calls[0]
    assert (config.train.rounds, config.seed, out) == (2, 5, tmp_path / "out")
    assert "pretending" in result.stderr
    assert "2.00 ± 0.10" in result.stdout
    assert (tmp_path / "out" / "table.md").is_file()
    assert (tmp_path / "out" / "accuracy.png").is_file()


def test_the_folder_is_named_after_the_file(
    engine: Callable[..., list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls = engine(finish)
    (tmp_path / "five.yaml").write_text(CONFIG)
    assert call("run", "five.yaml").exit_code == 0
    assert calls[0][1] == Path("runs/five")


def test_without_a_file_or_a_run_the_sentence_says_what_to_do(
    engine: Callable[..., list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls = engine(finish)
    whole = validate({"tasks": ["boolq"]}, "here").model_dump_json()
    for args, words in {
        (): "no configuration and no run named: give a FILE.yaml, or --out with the folder of a run to resume",
        ("--out", "runs/dmeo"): "--out runs/dmeo holds no run to resume: did you mean runs/demo?",
        ("--out", "elsewhere"): "--out elsewhere holds no run to resume: name a FILE.yaml to start one there, or",
        ("--out", ""): "--out is empty: name a folder",
    }.items():
        (tmp_path / "runs" / "demo").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / "demo" / "config.json").write_text(whole)
        result = call("run", *args)
        assert (result.exit_code, calls) == (2, [])
        assert words in result.stderr
    assert not (tmp_path / "elsewhere").exists()
    assert call("run", "--out", "runs/demo").exit_code == 0  # as the remedy says


def test_a_folder_with_a_run_goes_on_as_it_was_configured(engine: Callable[..., list[Any]], tmp_path: Path) -> None:
    calls = engine(finish)
    mine = validate({"tasks": ["boolq"], "seed": 7}, "here")
    (tmp_path / "config.json").write_text(mine.model_dump_json())
    assert call("run", "--out", tmp_path).exit_code == 0
    assert calls[-1] == (mine, tmp_path)
    assert call("run", "--out", tmp_path, "--set", "seed=7").exit_code == 0
    assert calls[-1] == (mine, tmp_path)
    assert call("run", "--out", tmp_path, "--set", "seed=8").exit_code == 0
    assert calls[-1][0].seed == 8  # which the engine's store refuses, naming this one key
    result = call("run", "--out", tmp_path, "--set", "sed=8")
    assert result.exit_code == 2
    assert result.stderr == "error: --set sed=8: there is no key sed: did you mean seed?\n"


def test_a_run_ends_in_words_and_in_what_to_try_next(engine: Callable[..., list[Any]], tmp_path: Path) -> None:
    engine(finish)
    (tmp_path / "c.yaml").write_text(CONFIG)
    shown = call("run", tmp_path / "c.yaml", "--out", tmp_path / "out").stdout
    words, _, rest = shown.partition("What happened\n")[2].partition("\nWritten: ")
    assert words.startswith("1 device learnt 1 task, in 1 round;")
    assert "With the exchange (bank) a device reaches 2.00 over all tasks" in " ".join(words.split())
    assert f"\nTry next:\n  meshtune run {tmp_path}/out/config.json --out {tmp_path}/lean --set " in rest
    assert shown.endswith(f"  meshtune compare {tmp_path}/out {tmp_path}/lean\n")


def test_stopping_says_how_to_go_on(engine: Callable[..., list[Any]], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    out = tmp_path / "out"

    def stop(folder: Path) -> None:
        raise KeyboardInterrupt

    def stop_late(folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    engine(stop)
    result = call("run", tmp_path / "c.yaml", "--out", out)
    assert result.exit_code == 130
    assert "repeat the same command" in result.stderr
    engine(stop_late)
    result = call("run", tmp_path / "c.yaml", "--out", out)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].endswith(f"resume with: meshtune run --out {out}")
    result = call("run", tmp_path / "c.yaml", "--out", tmp_path / "a b")
    assert result.stderr.splitlines()[-1].endswith(f"resume with: meshtune run --out '{tmp_path / 'a b'}'")


def test_errors_of_the_engine_are_told(engine: Callable[..., list[Any]], tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise UserError("no space left in the folder")

    engine(fail)
    (tmp_path / "c.yaml").write_text(CONFIG)
    result = call("run", tmp_path / "c.yaml", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.endswith("error: no space left in the folder\n")


def test_programs_run_without_walls_only_where_it_is_said(engine: Callable[..., list[Any]], tmp_path: Path) -> None:
    calls = engine(finish)
    (tmp_path / "c.yaml").write_text(CONFIG)
    for flags in ([], ["--unsafe-code"]):
        assert call("run", tmp_path / "c.yaml", "--out", tmp_path / f"out{len(flags)}", *flags).exit_code == 0
        assert calls[-1][0].eval.unsafe_code is bool(flags)
