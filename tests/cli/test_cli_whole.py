"""The program as a user meets it: a process with arguments, signals, full disks and exit codes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from meshtune.cli.main import app

RATES = {"lr": 3e-3, "lora_lr": 1e-3}
QUICK = {"train": {"rounds": 2, "steps": 1, "batch": 1, "warmup": 0, **RATES}, "eval": {"questions": 2, "elsewhere": 1}}


@pytest.fixture
def file(tmp_path: Path, world: Path, settings: dict[str, Any]) -> Path:
    """A configuration of seconds, as a file."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**settings, **QUICK, "methods": ["proposed", "lora"]}))
    return path


def called(*args: str | Path) -> tuple[int, str]:
    """Call the program inside this process; return its exit code and what it wrote to stderr."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.stderr


def meshtune(*args: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Call the program as a process of its own."""
    command = [sys.executable, "-m", "meshtune.cli.main", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **more)


def broken(line: str) -> Callable[[Path], list[str]]:
    """Return settings that give piqa a file whose third line is ``line``."""

    def make(folder: Path) -> list[str]:
        good = json.dumps({"goal": "Cut", "sol1": "saw", "sol2": "spoon", "label": 0})
        (folder / "piqa.jsonl").write_text(f"{good}\n{good}\n{line}\n" if line else "")
        return [f"tasks=[{{task: piqa, train: {folder / 'piqa.jsonl'}, test: {folder / 'piqa.jsonl'}}}]"]

    return make


def weightless(folder: Path) -> list[str]:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "llama"}')
    return [f"model.name={folder / 'model'}"]


def blockless(folder: Path) -> list[str]:
    """A model without any decoder block, so without a linear layer to adapt."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from meshtune.model.loading import byte_tokenizer

    shape = LlamaConfig(vocab_size=256, hidden_size=8, intermediate_size=8, num_hidden_layers=0, num_attention_heads=1)
    LlamaForCausalLM(shape).save_pretrained(folder / "flat")
    byte_tokenizer().save_pretrained(folder / "flat")
    return [f"model.name={folder / 'flat'}"]


def foreign(folder: Path) -> list[str]:
    """A model whose tensors have other names."""
    from safetensors.torch import load_file, save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    from meshtune.model.loading import byte_tokenizer

    shape = LlamaConfig(vocab_size=256, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    LlamaForCausalLM(shape).save_pretrained(folder / "named")
    byte_tokenizer().save_pretrained(folder / "named")
    file = folder / "named" / "model.safetensors"
    save_file({f"net.{name}": held for name, held in load_file(file).items()}, file, metadata={"format": "pt"})
    return [f"model.name={folder / 'named'}"]


def given(*settings: str) -> Callable[[Path], list[str]]:
    return lambda folder: list(settings)


MISTAKES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "key": (given("trian.rounds=2"), "did you mean train"),
    "method": (given("methods=[proposd]"), "did you mean proposed"),
    "task": (given("tasks=[piqua]"), "did you mean 'piqa'"),
    "blocks": (given("adapter.rank=256"), "3 task groups of 128 rows each need 384 rows"),
    "density 0": (given("adapter.density=0"), "adapter.density"),
    "density 2": (given("adapter.density=2"), "adapter.density"),
    "field": (broken('{"goal": "Cut", "sol1": "saw", "label": 0}'), "line 3: field 'sol2' is missing"),
    "json": (broken('{"goal": "Cut", '), "line 3: broken JSON"),
    "empty": (broken(""), "holds no question"),
    "weights": (weightless, "holds no weights"),
    "names": (foreign, "hold them under names that begin with net."),
    "linear": (blockless, "no linear layers"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_exit_code_2_and_nothing_written(tmp_path: Path, file: Path, name: str) -> None:
    make, words = MISTAKES[name]
    sets = [part for setting in make(tmp_path) for part in ("--set", setting)]
    code, said = called("run", file, *sets, "--out", tmp_path / "runs" / "out")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (code, len(errors)) == (2, 1), said
    assert words in errors[0]
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_another_run_is_not_touched(tmp_path: Path, file: Path) -> None:
    out = tmp_path / "out"
    assert called("run", file, "--out", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code, said = called("run", file, "--set", "adapter.rank=8", "--out", out)
    assert code == 2
    assert "adapter.rank: 4 -> 8" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("kept")
    code, said = called("run", file, "--out", tmp_path / "letters")
    assert (code, said.count("error: ")) == (2, 1)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_ctrl_c_leaves_a_run_that_goes_on_to_the_same_numbers(tmp_path: Path, file: Path) -> None:
    long = ["--set", "train.rounds=20"]
    command = [sys.executable, "-m", "meshtune.cli.main", "run", str(file), *long, "--out", str(tmp_path / "cut")]
    pipes: Any = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # Where the tests run in the background of a shell, SIGINT is ignored, and a child would inherit that.
    with subprocess.Popen(
        command, preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL), **pipes
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 2" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130, rest
    assert f"resume with: meshtune run --out {tmp_path / 'cut'}" in rest
    done = meshtune("run", "--out", tmp_path / "cut")
    assert done.returncode == 0, done.stderr
    assert "resuming after round" in done.stderr
    assert called("run", file, *long, "--out", tmp_path / "whole")[0] == 0
    cut, whole = (json.loads((tmp_path / name / "results.json").read_text())["rows"] for name in ("cut", "whole"))
    assert cut == whole


def begun(file: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start a run as a process of its own, in which no signal is ignored."""
    command = [sys.executable, "-m", "meshtune.cli.main", "run", str(file), *more, "--out", str(out)]
    pipes: Any = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, preexec_fn=_hears_all, **pipes)


def _hears_all() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_end_a_run_as_ctrl_c_does(tmp_path: Path, file: Path, number: int, code: int) -> None:
    out = tmp_path / "cut"
    with begun(file, out, "--set", "train.rounds=200") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 1" in line:
                break
        if number == signal.SIGTERM:  # and while it runs, the folder is its own
            before = {path.name: path.read_bytes() for path in out.iterdir() if "safetensors" not in path.name}
            second, said = called("run", file, "--set", "train.rounds=200", "--out", out)
            assert (second, said.count("error: ")) == (2, 1), said
            assert f"{out} is in use by process {process.pid} on " in said
            assert {"config.json", ".lock", "manifest.json"} <= set(before)
            assert (out / ".lock").read_bytes() == before[".lock"]
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == code, rest
    assert rest.endswith(f"resume with: meshtune run --out {out}\n")
    assert "Traceback" not in rest
    assert not [path.name for path in out.iterdir() if path.name.endswith(".part")]


@pytest.mark.slow
def test_whatever_kills_a_run_at_any_moment_it_ends_in_the_same_numbers(tmp_path: Path, file: Path) -> None:
    draw, cut = random.Random(3), tmp_path / "cut"
    kills = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
    for number in range(12):
        with begun(file, cut) as process:
            time.sleep(draw.uniform(1, 8))
            process.send_signal(kills[number % len(kills)])
            said = process.communicate(timeout=120)[1]
        assert "Traceback" not in said
        if (cut / "results.json").exists():
            shutil.rmtree(cut)
    assert meshtune("run", file, "--out", cut).returncode == 0
    assert called("run", file, "--out", tmp_path / "whole")[0] == 0
    cut_rows, rows = (json.loads((tmp_path / n / "results.json").read_text())["rows"] for n in ("cut", "whole"))
    assert cut_rows == rows
    assert not [path.name for path in cut.iterdir() if path.name.endswith(".part")]


@pytest.mark.slow
def test_of_two_that_make_the_same_folder_at_once_one_wins(tmp_path: Path, file: Path) -> None:
    out = tmp_path / "out"
    pair = [begun(file, out, "--set", "train.rounds=20") for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 2]
    assert sum("is in use by process" in text for text in said) == 1
    assert called("run", file, "--set", "train.rounds=20", "--out", tmp_path / "whole")[0] == 0
    both, rows = (json.loads((tmp_path / n / "results.json").read_text())["rows"] for n in ("out", "whole"))
    assert both == rows
    scores = (out / "scores.jsonl").read_text().splitlines()
    assert len(scores) == len((tmp_path / "whole" / "scores.jsonl").read_text().splitlines())


def test_a_full_disk_ends_in_one_sentence_and_the_run_goes_on_when_there_is_room(small_disk: Path, file: Path) -> None:
    out = small_disk / "out"
    done = meshtune("run", file, "--out", out)
    assert done.returncode == 2, done.stderr
    assert "no space left" in done.stderr
    assert "resumable" in done.stderr
    assert "Traceback" not in done.stderr
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True, timeout=30)
    done = meshtune("run", "--out", out)
    assert done.returncode == 0, done.stderr
    whole = file.parent / "whole"
    assert called("run", file, "--out", whole)[0] == 0
    assert (
        json.loads((out / "results.json").read_text())["rows"]
        == json.loads((whole / "results.json").read_text())["rows"]
    )


def test_the_same_seed_gives_the_same_file_and_another_does_not(tmp_path: Path, file: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert called("run", file, "--set", f"seed={seed}", "--out", tmp_path / name)[0] == 0
    rows = {n: json.loads((tmp_path / n / "results.json").read_text())["rows"] for n in "abc"}
    assert rows["a"] == rows["b"]
    assert [r["value"] for r in rows["a"]] != [r["value"] for r in rows["c"]]


def test_without_a_hub_the_name_is_said_in_one_sentence(tmp_path: Path, file: Path) -> None:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = meshtune("run", file, "--set", "model.name=nobody/nothing", "--out", tmp_path / "out", env=offline)
    assert done.returncode == 2
    assert "model.name=nobody/nothing: there is no such folder, HF_HUB_OFFLINE is set" in done.stderr
    assert not (tmp_path / "out").exists()
