from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.evaluation.intervals import Estimate
from meshtune.report.results_file import load_results, parse_results


def numbers(found: Estimate | None) -> tuple[float, float]:
    assert found is not None
    return found.value, found.stderr


def test_averages_and_shares_are_the_hand_computed_ones(raw: dict[str, Any]) -> None:
    results = parse_results(raw, "here")
    assert numbers(results.cell("lora", "boolq", "nll")) == pytest.approx((4.0, 0.3))
    assert numbers(results.average("frozen", "nll")) == pytest.approx((5.0, math.sqrt(0.09 + 0.16) / 2))
    assert results.best == "hard_moe"
    assert results.share_of_gain("proposed") == pytest.approx(5 / 6)
    assert results.share_of_gain("lora") == pytest.approx(1 / 3)
    assert results.share_of_gain("hard_moe") == pytest.approx(1)
    assert results.share_of_gain("frozen") == 0
    assert results.share_of_gain("local") is None


def test_dense_experts_are_the_denominator_where_they_ran(raw: dict[str, Any]) -> None:
    raw["rows"] += [r | {"method": "hard_moe_lora", "value": 1.0} for r in raw["rows"] if r["method"] == "hard_moe"]
    results = parse_results(raw, "here")
    assert results.share_of_gain("hard_moe") == pytest.approx(3 / 4)


def test_no_share_where_the_best_method_gained_nothing(raw: dict[str, Any]) -> None:
    for row in raw["rows"]:
        row["value"] = 5.0
    assert parse_results(raw, "here").share_of_gain("proposed") is None


def test_only_the_last_round_counts(raw: dict[str, Any]) -> None:
    raw["rows"] += [r | {"round": 1, "value": 99.0} for r in raw["rows"] if r["method"] == "proposed"]
    assert numbers(parse_results(raw, "here").cell("proposed", "piqa", "nll")) == pytest.approx((3.0, 0.4))


def test_a_method_that_misses_a_task_has_no_average(raw: dict[str, Any]) -> None:
    raw["rows"] = [r for r in raw["rows"] if (r["method"], r["task"]) != ("lora", "piqa")]
    results = parse_results(raw, "here")
    assert results.average("lora", "nll") is None
    assert results.cell("lora", "piqa", "nll") is None


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda raw: [], "not a meshtune-results file"),
        (lambda raw: {"format": "other"}, "not a meshtune-results file"),
        (lambda raw: raw | {"version": 2}, "version 2"),
        (lambda raw: raw | {"rows": [{"method": "x"}]}, "damaged at rows.0.seed"),
        (lambda raw: raw | {"rows": [raw["rows"][0] | {"value": "much"}]}, "damaged at rows.0.value"),
        (lambda raw: {k: v for k, v in raw.items() if k != "header"}, "damaged at header"),
    ],
)
def test_foreign_and_damaged_files_end_in_one_sentence(
    raw: dict[str, Any], spoil: Callable[[dict[str, Any]], Any], words: str
) -> None:
    with pytest.raises(UserError) as error:
        parse_results(spoil(raw), "here")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_loading_from_a_folder_and_its_mistakes(make_run: Callable[..., Path], tmp_path: Path) -> None:
    make_run("good")
    assert load_results(tmp_path / "good").methods == ["frozen", "proposed", "lora", "hard_moe"]
    assert load_results(tmp_path / "good" / "results.json").devices == [0, 1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="finish the run first"):
        load_results(tmp_path / "empty")
    with pytest.raises(UserError, match="there is no run"):
        load_results(tmp_path / "nowhere")
    (tmp_path / "good" / "results.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        load_results(tmp_path / "good")
