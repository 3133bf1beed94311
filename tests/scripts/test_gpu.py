"""The script for a machine with a GPU, rehearsed on a CPU and a tiny model, and what it is given in pieces."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from script_modules import load_script

FOLDER = Path(__file__).parents[2] / "benchmarks"
CONTENT = bytes(range(256)) * 11


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(FOLDER / "gpu.py")


def rehearse(folder: Path, *words: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the lines and the records of a rehearsal on generated tasks."""
    command = [
        str(FOLDER / "gpu.sh"), "--device", "cpu", "--model", "tiny-random", "--steps", "2", "--runs", "1",
        "--out", str(folder / "out"), "--results", str(folder / "gpu.json"), *words,
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "MESHTUNE_DATA"}
    environment["PYTHON"] = sys.executable
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    file = folder / "gpu.json"
    return done.stdout.splitlines(), json.loads(file.read_text()) if file.exists() else []


@pytest.mark.slow
def test_a_rehearsal_measures_everything_and_goes_on(tmp_path: Path) -> None:
    words = ("--minutes", "30", "--rows", "16", "--seeds", "0", "--methods", "lora", "--rates", "1e-3")
    lines, records = rehearse(tmp_path, *words)
    assert {one["model"] for one in records} == {"tiny-random"}
    assert all(one["card"].startswith("CPU") and one["versions"]["torch"] for one in records)
    parts = {part: [one for one in records if one["part"] == part] for part in ("same", "speed", "curve")}
    assert parts["same"][0]["met"]
    assert parts["same"][0]["largest_difference"] == 0  # twice the CPU
    assert parts["same"][0]["largest_value"] > 0
    measured = {key: value for one in parts["speed"] for key, value in one.items()}
    ours = next(one for one in parts["speed"] if one.get("loop") == "ours")
    assert ours["tokens_per_second"] == pytest.approx(ours["tokens"] / ours["seconds"][0])
    assert 0 < ours["share_of_card"] < 1
    assert measured["card_flops"] > 0
    if importlib.util.find_spec("peft") is None:
        assert any(line.startswith("speed: PEFT loop: left out") for line in lines)
    else:
        assert measured["target"] == ">= 8"
    assert [one["key"] for one in parts["curve"]] == [["cpu", "tiny-random", 16, 0, ["lora"], [1e-3]]]
    assert {one["method"] for one in parts["curve"][0]["found"]} == {"lora", "frozen"}
    again, after = rehearse(tmp_path, *words, "--parts", "curve")
    assert after == records
    assert again[0] == "curve: all lengths were tried"


def test_no_time_is_no_error(tmp_path: Path) -> None:
    lines, records = rehearse(tmp_path, "--minutes", "0")
    assert [line.partition(":")[0] for line in lines[:-1]] == ["same", "speed", "curve"]
    assert all(line.endswith("left out, the 0 minutes are over") for line in lines[:-1])
    assert records == []


def test_the_curve_stops_when_its_time_is_up(tmp_path: Path) -> None:
    lines, records = rehearse(tmp_path, "--minutes", "0.02", "--parts", "curve")
    assert any("stopped" in line for line in lines)
    assert all("found" not in one for one in records)


def test_pieces_are_joined_and_checked(script: ModuleType, tmp_path: Path) -> None:
    name = tmp_path / "model.gguf"
    digest = hashlib.sha256(CONTENT).hexdigest()
    for number in range(11):  # part10 comes behind part9
        (tmp_path / f"model.gguf.part{number}").write_bytes(CONTENT[256 * number : 256 * (number + 1)])
    whole = script.joined(str(name), tmp_path / "out", len(CONTENT), digest.upper())
    assert Path(whole).read_bytes() == CONTENT
    assert script.joined(whole, tmp_path, len(CONTENT)) == whole
    assert script.joined("tiny-random", tmp_path) == "tiny-random"
    with pytest.raises(SystemExit, match=r"has 2816 bytes, not 5"):
        script.joined(str(name), tmp_path / "out", 5)
    with pytest.raises(SystemExit, match="does not have the digest"):
        script.joined(str(name), tmp_path / "out", None, "0" * 64)
    with pytest.raises(SystemExit, match="is no file"):
        script.joined("tiny-random", tmp_path, 5)
    (tmp_path / "model.gguf.part4").unlink()
    with pytest.raises(SystemExit, match="a number is missing"):
        script.joined(str(name), tmp_path / "out")


def test_a_failing_part_does_not_stop_the_next(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "gpu.json"
    asked = []

    def start(part: str, words: list[str], left: float) -> dict[str, str]:
        asked.append((part, left > 45))
        return {"failed": "broken"} if part == "same" else {"stopped": "slow"} if part == "speed" else {}

    monkeypatch.setattr(script, "start", start)
    words = ["--model", "tiny-random", "--minutes", "1", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 1
    assert asked == [("same", False), ("speed", False), ("curve", True)]
    assert [(one["part"], one.get("failed"), one.get("stopped")) for one in json.loads(results.read_text())] == [
        ("same", "broken", None), ("speed", None, "slow"),
    ]  # fmt: skip
    assert "same: failed: broken" in capsys.readouterr().out


def test_help_needs_nothing() -> None:
    done = subprocess.run([str(FOLDER / "gpu.sh"), "--help"], capture_output=True, text=True, check=True)
    assert all(word in done.stdout for word in ("--wheels FOLDER", "--minutes", "--sha256", "split -n 2"))
