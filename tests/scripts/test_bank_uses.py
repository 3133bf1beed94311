"""What a bank is for, on a random model: who is touched by a task that joins or is dropped, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from script_modules import load_script

ROOT = Path(__file__).parents[2]
TINY = """
model: {name: tiny-random}
tasks: [machines, sums, animals]
train: {rounds: 1, steps: 1, batch: 2, lr: 1e-1, lora_lr: 1e-1, max_tokens: 64}
router: {prompts: 8}
adapter: {rank: 4, calibration_batches: 1, entropy_tokens: 16}
validation: 4
eval: {questions: 2}
"""
BANKS, AVERAGES = ("bank", "hard_moe"), ("lora", "proposed", "oracle")


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script(ROOT / "benchmarks" / "bank_uses.py")


@pytest.fixture(scope="module")
def made(script: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One newcomer before the second of two rounds, measured once."""
    folder = tmp_path_factory.mktemp("bank")
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "RESULTS", folder / "bank_uses.json")
        words = ["bank_uses.py", str(folder / "tiny.yaml"), "--newcomer", "machines", "--join", "2", "--rounds", "2"]
        patch.setattr(sys, "argv", words)
        script.main()
        (found,) = script.records()
        patch.setattr(script, "record", None)  # nothing is measured twice
        script.main()
        assert script.records() == [found]
    record: dict[str, Any] = found
    return record


def test_a_newcomer_changes_averages_and_no_expert_of_a_bank(made: dict[str, Any]) -> None:
    assert made["tasks"] == ["sums", "animals", "machines"]
    assert made["refused"] == 0
    assert made["untouched"] == {**dict.fromkeys(BANKS, True), **dict.fromkeys(AVERAGES, False)}
    for task in ("sums", "animals"):  # with the perfect router, nobody notices
        assert made["joined"]["hard_moe"][task] == made["apart"]["hard_moe"][task]
        assert made["joined"]["lora"][task] != made["apart"]["lora"][task]
    assert made["joined"]["hard_moe"]["machines"] != made["apart"]["hard_moe"]["machines"]


def test_dropping_an_expert_leaves_the_others_of_a_bank_alone(made: dict[str, Any]) -> None:
    assert list(made["dropped"]) == ["sums", "machines"]
    for task, found in made["dropped"].items():
        for other in {"sums", "animals", "machines"} - {task}:
            assert found["hard_moe"][other] == made["joined"]["hard_moe"][other]
            assert found["lora"][other] != made["joined"]["lora"][other]


def test_an_exchange_is_judged_round_by_round(made: dict[str, Any]) -> None:
    changes = {
        (one["method"], one["round"], one["task"]): one["mixed"] - one["trained"] for one in made["exchanges"]
    }  # fmt: skip
    assert {key[1:] for key in changes} == {(n, task) for n in (1, 2) for task in ("sums", "animals")}
    for (method, *_), change in changes.items():
        assert method != "hard_moe" or abs(change) < 0.02  # what is sent is rounded
        assert method != "lora" or change != 0


def test_tables_are_made_from_records(script: Any) -> None:
    scores = {"a": 1.0, "b": 2.0, "new": 3.0}
    records = [
        {
            "newcomer": "new", "tasks": ["a", "b", "new"], "frozen": {"a": 5.0, "b": 5.0, "new": 6.0 + shift},
            "before": {"lora": scores}, "apart": {"lora": scores},
            "joined": {"lora": {"a": 1.5, "b": 2.1 + shift, "new": 0.5}},
            "dropped": {task: {"lora": {"a": 1.0, "b": 2.0, "new": 2.0}} for task in ("a", "new")},
            "exchanges": [{"round": n, "method": "lora", "task": "a", "trained": 1.0, "mixed": 1.0 + n} for n in (1, 2)]
            + [{"round": n, "method": "lora", "task": "b", "trained": 1.0, "mixed": 2.0} for n in (1, 2)],
        }
        for shift in (0.0, 0.2)
    ]  # fmt: skip
    shown = script.tables(records)
    joins, drops, exchanges = (shown[key].splitlines()[2] for key in ("join", "drop", "exchanges"))
    assert joins == (
        "| `lora` | 1.50 ± 0.00 | 1.50 ± 0.00 | 1.85 ± 0.64 | +0.350 ± 0.635 | +0.500 ± 0.000 "
        "| 3.00 ± 0.00 | 0.50 ± 0.00 |"
    )
    # dropped a: b and new were 2.1 and 0.5, are 2 and 2; dropped new: a and b were 1.5 and 2.1, are 1 and 2
    assert drops.startswith("| `lora` | 1.00 ± 0.00 | 1.50 ± 0.00 | 5.55 ± 0.64 | 2.00 ± 0.00 | 3.00 ± 0.00 |")
    assert exchanges == "| `lora` | +1.000 ± 0.000 | +1.500 ± 0.000 | +2.00 ± 0.00 | +1.00 ± 0.00 |"


@pytest.mark.parametrize("section", ["join", "drop", "exchanges"])
def test_the_page_has_the_tables_of_what_was_measured(script: Any, section: str) -> None:
    page = (ROOT / "docs" / "conflicts.md").read_text(encoding="utf-8")
    records = script.found_for("embedded-paper", "machines")
    shown = page.split(f"<!-- {section} -->\n")[1].split(f"<!-- /{section} -->")[0]
    assert shown.strip() == script.tables(records)[section]
