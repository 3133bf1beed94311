"""A run with fewer devices than tasks: told before training, asked all the same, in no group, average or confusion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from meshtune.cli.advice import a_question
from meshtune.config.config_file import validate
from meshtune.data.unlearnt import unlearnt_note
from meshtune.planning.planner import plan
from meshtune.report.comparison import summary
from meshtune.report.results_file import load_results
from meshtune.simulator.simulation import evaluate, run
from whole_runs import Watch, header


@pytest.fixture(scope="module")
def lacking(
    tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any], world: Path
) -> tuple[Path, list[str]]:
    """Three tasks, one device; the second task is tested as a fourth, too. Over the air, for the curves."""
    folder = tmp_path_factory.mktemp("lacking")
    shutil.copytree(world, folder / "data")
    shutil.copytree(world / "arc_easy", folder / "data" / "arc_challenge")
    settings = {
        **whole_settings,
        "data": str(folder / "data"),
        "devices": {"count": 1},
        "methods": ["bank", "hard_moe", "local"],
        "train": {**whole_settings["train"], "rounds": 1},
        "tasks": ["boolq", {"task": "arc_easy", "also": ["arc_challenge"]}, "piqa"],
        "radio": {},
    }
    watch = Watch()
    return run(validate(settings, "test"), folder / "run", watch), watch.texts


def test_it_is_said_before_training(lacking: tuple[Path, list[str]]) -> None:
    said = [text for text in lacking[1] if "no device has" in text]
    assert said == [
        "tasks arc_easy, piqa are asked, but no device has them: nobody learns them, and averages leave them out; "
        "devices.count=3 gives every task a device"
    ]


def test_exams_name_no_group_that_does_not_exist(lacking: tuple[Path, list[str]]) -> None:
    found = header(lacking[0])
    assert found["groups"] == {"boolq": [0]}
    assert found["exams"] == {"boolq": "boolq", "arc_easy": None, "arc_challenge": None, "piqa": None}
    assert {row.task for row in load_results(lacking[0]).rows} == set(found["exams"])
    assert load_results(lacking[0]).unlearnt == ["arc_easy", "arc_challenge", "piqa"]


def test_routers_are_judged_by_what_can_be_right(lacking: tuple[Path, list[str]]) -> None:
    router = header(lacking[0])["router"]["whitened"]
    assert router["groups"] == ["boolq"]
    assert len(router["confusion"]) == 1
    assert set(router["regret_by_task"]) == {"boolq"}


def test_curves_are_averages_of_what_was_learnt(lacking: tuple[Path, list[str]]) -> None:
    results = load_results(lacking[0])
    last = header(lacking[0])["curves"]["bank"][-1]
    found = results.average("bank", "nll")
    alone = results.cell("bank", "boolq", "nll")
    assert found is not None
    assert alone is not None
    assert last["nll"] == pytest.approx(found.value) == pytest.approx(alone.value)


def test_the_story_blames_nobody(lacking: tuple[Path, list[str]]) -> None:
    text = summary(lacking[0])
    assert "1 device learnt 1 task" in text
    assert "No device learnt arc_easy, arc_challenge and piqa" in text
    assert "weakest" not in text


def test_the_question_to_try_next_is_of_a_task_that_was_learnt(whole_settings: dict[str, Any]) -> None:
    """The last task comes first, if a device has it."""
    for count, words in ((1, "Cut board"), (2, "What follows")):
        settings = {**whole_settings, "tasks": ["piqa", "arc_easy"], "devices": {"count": count}}
        found = a_question(validate(settings, "test").model_dump(mode="json"))
        assert found is not None
        assert found[0].startswith(words)


def test_a_validation_asks_them_too(lacking: tuple[Path, list[str]]) -> None:
    evaluate(lacking[0], Watch(), {"eval": {"split": "validation"}})
    assert header(lacking[0])["exams"] == {"boolq": "boolq", "arc_easy": None, "piqa": None}
    assert load_results(lacking[0]).unlearnt == ["arc_easy", "piqa"]


def test_rows_carry_their_interval(lacking: tuple[Path, list[str]]) -> None:
    rows = json.loads((lacking[0] / "results.json").read_text())["rows"]
    assert {row["metric"] for row in rows} >= {"nll", "acc"}
    for row in rows:
        if row["metric"].startswith("acc"):
            right = round(row["value"] * row["n"])
            low, high = stats.binomtest(right, row["n"]).proportion_ci(method="wilson")
            assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-9)
        else:
            half = stats.norm.ppf(0.975) * row["stderr"]
            assert (row["low"], row["high"]) == pytest.approx((row["value"] - half, row["value"] + half))
    for row, read in zip(rows, load_results(lacking[0]).rows, strict=True):
        assert read.interval == pytest.approx({"low": row["low"], "high": row["high"]})


def test_a_plan_says_it_too(whole_settings: dict[str, Any]) -> None:
    config = validate({**whole_settings, "devices": {"count": 2}}, "test")
    assert unlearnt_note(config) in plan(config).notes
