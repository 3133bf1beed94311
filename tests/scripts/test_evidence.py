"""The script behind docs/evidence.md, on a random model: what it trains, picks and writes, and how it goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from script_modules import load_script

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evidence.py"
TINY = """
model: {name: tiny-random}
tasks: [sums, animals]
train: {rounds: 1, steps: 2, batch: 2, lr: 1e-3, lora_lr: 1e-3, max_tokens: 64}
router: {prompts: 8}
adapter: {calibration_batches: 1, entropy_tokens: 16}
eval: {questions: 4}
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


def call(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[dict[str, Any]]:
    monkeypatch.setattr(sys, "argv", ["evidence.py", "tiny", *words])
    script.main()
    found: list[dict[str, Any]] = json.loads((script.RESULTS / "tiny.json").read_text())
    return found


def test_every_length_picks_its_rate_and_goes_on_where_it_stopped(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    study = script.Study(str(tmp_path / "tiny.yaml"), questions=3, methods=("bank", "lora"))
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(script, "STUDIES", {"tiny": study})
    out = ("--out", str(tmp_path / "out"))
    words = (*out, "--rows", "8", "4", "--rates", "1e-2", "1e-12", "--methods", "lora")
    shared: list[bool] = []
    evaluate = script.evaluate

    def observed(path: Path, *rest: Any) -> None:
        shared.append(any(record["method"] == "frozen" for record in script.of_split(path, "test")))
        evaluate(path, *rest)

    monkeypatch.setattr(script, "evaluate", observed)
    found = call(script, monkeypatch, *words)
    assert {(one["rows"], one["method"]) for one in found} == {
        (rows, method) for rows in (4, 8) for method in ("frozen", "lora")
    }
    for one in found:
        assert len(one["tried"]) == 2
        assert one["tried"][f"{one['rate']:g}"] == min(one["tried"].values())
        assert one["at_an_end"]  # of two rates either is
        assert {task: len(each) for task, each in one["scores"]["nll"].items()} == {"sums": 3, "animals": 3}
    runs = [json.loads(file.read_text())["train"] for file in tmp_path.rglob("config.json")]
    assert {(one["rounds"], one["steps"], one["batch"]) for one in runs} == {(1, 2, 2), (2, 2, 2)}
    assert shared == [False, True]  # the frozen model is scored once
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("round-*.safetensors")}
    assert call(script, monkeypatch, *words) == found
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("round-*.safetensors")} == before
    found = call(script, monkeypatch, *out, "--rows", "4", "--rates", "1e-2", "--methods", "bank")
    assert [one["method"] for one in found if one["rows"] == 4] == ["bank", "frozen", "hard_moe", "lora"]


def test_records_are_replaced_by_their_key(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    key: dict[str, Any] = {"model": "smollm2", "rows": 64, "seed": 0, "settings": []}
    script.add("five", [{**key, "method": "lora", "rate": 1.0}, {**key, "method": "ffa", "rate": 1.0}])
    script.add("five", [{**key, "method": "lora", "rate": 2.0}, {**key, "rows": 16, "method": "lora", "rate": 3.0}])
    script.add("five", [{**key, "method": "lora", "rate": 4.0, "settings": ["adapter.rank=8"]}])
    rows = json.loads((tmp_path / "five.json").read_text())
    assert [(one["rows"], one["method"], one["rate"]) for one in rows] == [
        (16, "lora", 3.0), (64, "ffa", 1.0), (64, "lora", 2.0), (64, "lora", 4.0),
    ]  # fmt: skip
