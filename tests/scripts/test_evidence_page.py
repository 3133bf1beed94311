"""The tables and the picture of docs/evidence.md: from records of known differences, and as the page has them."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from script_modules import load_script

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evidence_page.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script over two lengths; at 64 rows two seeds, `proposed` is 0.75 and 0.25 better than `lora`."""
    module = load_script(SCRIPT)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    lora = {"a": {"1": 1.0, "2": 2.0}, "b": {"3": 3.0, "4": 5.0}}
    found = []
    for rows, seed, shift in ((64, 0, 0.0), (64, 1, 0.5), (256, 0, 1.0)):
        ours = {"a": {"1": 0.5 + shift, "2": 1.5 + shift}, "b": {"3": 2.0 + shift, "4": 4.0 + shift}}
        for method, scores in (("lora", lora), ("proposed", ours), ("frozen", lora)):
            found.append(record(method, rows, seed, scores))
    found.append(record("proposed", 64, 0, lora, ["adapter.rank=8"]))
    (tmp_path / "five.json").write_text(json.dumps(found))
    return module


def record(method: str, rows: int, seed: int, scores: Any, settings: list[str] | None = None) -> dict[str, Any]:
    return {
        "model": "smollm2", "rows": rows, "seed": seed, "method": method, "settings": settings or [], "rate": 1e-3,
        "at_an_end": seed == 0, "update_bytes": 0 if method == "frozen" else 5000, "scores": {"nll": scores},
    }  # fmt: skip


def test_a_table_has_every_method_at_every_length_with_paired_differences(script: ModuleType) -> None:
    lines = script.lengths("five").splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| 64", "`frozen`"], ["| 64", "`lora`"], ["| 64", "`proposed`"], ["| 64", "`proposed` `adapter.rank=8`"],
        ["| 256", "`frozen`"], ["| 256", "`lora`"], ["| 256", "`proposed`"],
    ]  # fmt: skip
    assert lines[0].startswith("| 64 | `frozen` | - | 2 | - | 2.750 | - | - | +0.000 [+0.000, +0.000]")
    assert lines[1] == "| 64 | `lora` | 0.001, 0.001* | 2 | 5,000 | 2.750 | - | - | - |"
    # -0.75 and -0.25: mean -0.5, sd 0.354, t(1) 12.7; questions: each seed's own is 0.25 wide to each side
    assert lines[2].startswith(
        "| 64 | `proposed` | 0.001, 0.001* | 2 | 5,000 | 2.250 | - | - | -0.500 [-3.677, +2.677]; "
    )
    assert lines[3].startswith("| 64 | `proposed` `adapter.rank=8` | 0.001* | 1 | 5,000 | 2.750 | - | - | +0.000 [")
    assert lines[6].startswith("| 256 | `proposed` | 0.001* | 1 | 5,000 | 3.000 | - | - | +0.250 [")


def test_differences_are_listed_length_by_length(script: ModuleType) -> None:
    lines = script.goals("five", "proposed", ("lora", "central")).splitlines()
    assert lines[0] == "| `proposed` - | 64 rows | 256 rows |"
    assert len(lines) == 3  # central has not run
    assert lines[2].startswith("| `lora` | -0.500 [-3.677, +2.677]; questions [")
    assert "| +0.250 [" in lines[2]


def test_tasks_are_means_over_seeds(script: ModuleType) -> None:
    assert script.by_task("five", 64, ("proposed", "lora", "central")).splitlines() == [
        "| method | a | b |", "|---|---:|---:|", "| `proposed` | 1.250 | 3.250 |", "| `lora` | 1.500 | 4.000 |"
    ]  # fmt: skip


def test_the_picture_is_drawn(script: ModuleType, tmp_path: Path) -> None:
    script.draw("five", tmp_path / "evidence.png")
    assert (tmp_path / "evidence.png").read_bytes()[:4] == b"\x89PNG"


def test_choices_are_means_over_seeds(script: ModuleType, tmp_path: Path) -> None:
    one = {"settings": ["a=1"], "questions": 6, "questions_options": 2, "accuracy_options": 0.5}
    found = [
        {**one, "method": method, "seed": seed, "nll": nll, "accuracy": None if method == "paper" else 0.25}
        for method, nll in (("paper", 2.0), ("paper:unrouted", 3.0)) for seed in (0, 1)
    ]  # fmt: skip
    (tmp_path / "paper_choices.json").write_text(json.dumps(found))
    assert script.choices().splitlines()[2:] == ["| `a=1` | 2 | 2.000 | - | 0.50 | 3.000 | 0.250 | 0.50 |"]


def test_the_page_has_what_was_found() -> None:
    module = load_script(SCRIPT)
    page = module.PAGE.read_text(encoding="utf-8")
    assert module.filled(page) == page
    assert all(page.count(f"<!-- {name} -->") == 1 for name in module.TABLES)
