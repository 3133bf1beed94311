"""Whole runs on the tiny base: what is in the folder, that it resumes bit for bit, and that bytes are real."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.runs.events import Event, Progress, RoundDone
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator import run_inputs as engine
from meshtune.simulator.simulation import evaluate, run
from meshtune.training.process_memory import forecast_memory
from whole_runs import Watch, assert_same_state


class Stop(Silent):
    """Presses Ctrl+C behind a round or behind a number of exams."""

    def __init__(self, kind: str, at: int) -> None:
        self._stop = (kind, at)

    def __call__(self, event: Event) -> None:
        match event:
            case RoundDone(number):
                reached = ("round", number)
            case Progress("score", done):
                reached = ("exam", done)
            case _:
                return
        if reached == self._stop:
            raise KeyboardInterrupt


def config(settings: dict[str, Any], **more: Any) -> RunConfig:
    return validate({**settings, **more}, "test")


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["rows"]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    settings = {**whole_settings, "devices": {"per_task": 2}}
    return run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "whole", Silent()), settings


def test_every_device_answers_every_task_under_every_method(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, settings = finished
    found = {(r["method"], r["device"], r["task"], r["metric"]) for r in rows(folder)}
    methods = ["frozen", *settings["methods"], "bank:top1", "bank:cosine"]
    assert found == {
        (method, device, task, metric)
        for method in methods
        for device in range(6)
        for task in settings["tasks"]
        for metric in ("nll", "option_nll", "acc", "acc_norm")
    }
    header = json.loads((folder / "results.json").read_text())["header"]
    assert header["groups"] == {"boolq": [0, 3], "arc_easy": [1, 4], "piqa": [2, 5]}
    assert header["methods"]["bank"]["parameters_updated"] < 0.1 * header["methods"]["lora"]["parameters_updated"]
    assert header["methods"]["local"]["bytes"] == dict.fromkeys(("values", "masks", "router", "control", "relayed"), 0)
    counts = header["router"]["whitened"]["confusion"]
    assert sum(map(sum, counts)) == 3 * 4


def test_devices_of_a_full_graph_agree_and_local_ones_do_not(finished: tuple[Path, dict[str, Any]]) -> None:
    values: dict[tuple[str, str], set[float]] = {}
    for row in rows(finished[0]):
        if row["metric"] == "nll":
            values.setdefault((row["method"], row["task"]), set()).add(row["value"])
    for (method, _), found in values.items():
        assert (len(found) == 1) == (method != "local")


def test_value_bytes_are_counted_by_hand(finished: tuple[Path, dict[str, Any]]) -> None:
    """6 devices, 5 receivers each, 2 rounds, bf16: values alone are nnz * 2 bytes a copy."""
    header = json.loads((finished[0] / "results.json").read_text())["header"]
    for method in ("bank", "hard_moe", "lora", "hard_moe_lora"):
        count = header["methods"][method]["parameters_updated"]
        assert header["methods"][method]["bytes"]["values"] == 6 * 5 * 2 * count * 2
    positions = header["model"]["expansion_positions"]
    assert header["methods"]["bank"]["bytes"]["masks"] < 6 * 5 * 0.7 * positions / 8  # a bitmap: a bit each
    assert header["methods"]["bank"]["parameters_updated"] == round(0.1 * positions)


@pytest.mark.parametrize(("kind", "at"), [("round", 1), ("exam", 2)])
def test_a_stopped_run_goes_on_bit_for_bit(
    tmp_path: Path, settings: dict[str, Any], kind: str, at: int, finished: tuple[Path, dict[str, Any]]
) -> None:
    settings["devices"] = {"per_task": 2}
    with pytest.raises(KeyboardInterrupt):
        run(config(settings), tmp_path / "cut", Stop(kind, at))
    run(config(settings), tmp_path / "cut", Silent())
    assert_same_state(finished[0], tmp_path / "cut", 2)
    assert rows(finished[0]) == rows(tmp_path / "cut")


def test_a_stopped_run_of_int4_differences_goes_on_byte_for_byte(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings |= {"devices": {"count": 4}, "graph": {"kind": "ring"}, "methods": ["bank", "lora"]}
    settings["exchange"] = {"values": "int4"}
    settings["train"] |= {"rounds": 3, "steps": 1}
    run(config(settings), tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(config(settings), tmp_path / "cut", Stop("round", 2))
    run(config(settings), tmp_path / "cut", Silent())
    assert_same_state(tmp_path / "whole", tmp_path / "cut", 3)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    header = json.loads((tmp_path / "cut" / "results.json").read_text())["header"]
    for method in ("bank", "lora"):
        count = header["methods"][method]["parameters_updated"]
        assert 0 < header["methods"][method]["bytes"]["values"] < 4 * 2 * 3 * 0.6 * count


def test_experts_cross_a_ring_by_relay(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings |= {"devices": {"count": 6}, "graph": {"kind": "ring"}, "methods": ["bank", "hard_moe"]}
    settings["tasks"] = [{"task": t, "key": f"{t}{n}"} for n in range(2) for t in ("boolq", "arc_easy", "piqa")]
    settings["train"] |= {"rounds": 3, "steps": 1}
    folder = run(config(settings), tmp_path / "ring", Silent())
    facts = RunStore.open(folder).load_round(3)[1]
    held = {source: version for source, version, *_ in facts["nodes"]["bank"][0]["held"]}
    assert held == {0: 3, 1: 3, 5: 3, 2: 2, 4: 2, 3: 1}  # one hop a round: version = rounds - (hops - 1)
    header = json.loads((folder / "results.json").read_text())["header"]
    assert header["methods"]["bank"]["bytes"]["relayed"] > header["methods"]["hard_moe"]["bytes"]["relayed"] > 0


def test_an_announcement_is_brought_to_the_far_side_of_a_ring_once(tmp_path: Path, settings: dict[str, Any]) -> None:
    """A ring of four: both neighbours of the far device could pass it on, and one does."""
    settings |= {"devices": {"count": 4}, "graph": {"kind": "ring"}, "methods": ["hard_moe"]}
    settings["train"] |= {"rounds": 1, "steps": 1}
    header = json.loads((run(config(settings), tmp_path / "four", Silent()) / "results.json").read_text())["header"]
    at_first = header["methods"]["hard_moe"]["bytes_per_round"]["0"]
    once = (at_first["masks"] + at_first["control"]) / 8  # one copy of an announcement
    assert at_first["relayed"] == pytest.approx(4 * once)


def test_other_data_than_the_run_was_begun_with_are_refused(
    tmp_path: Path, settings: dict[str, Any], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(world, copy)
    settings["data"] = None
    monkeypatch.setenv("MESHTUNE_DATA", str(copy))
    with pytest.raises(KeyboardInterrupt):
        run(config(settings), tmp_path / "run", Stop("round", 1))
    lines = (copy / "piqa" / "train.jsonl").read_text().splitlines(keepends=True)
    (copy / "piqa" / "train.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"the training data are not those that .* was started with"):
        run(config(settings), tmp_path / "run", Silent())


def test_costs_survive_a_second_sitting(finished: tuple[Path, dict[str, Any]]) -> None:
    header = json.loads((finished[0] / "results.json").read_text())["header"]
    assert header["seconds"]["score"] > 0
    assert header["peak_memory_bytes"] > 0
    run(validate(finished[1], "test"), finished[0], Silent())
    again = json.loads((finished[0] / "results.json").read_text())["header"]
    assert again["seconds"] == header["seconds"]
    assert again["peak_memory_bytes"] == header["peak_memory_bytes"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_gives_the_same_run(tmp_path: Path, settings: dict[str, Any], finished: tuple[Path, Any]) -> None:
    settings |= {"devices": {"per_task": 2}, "model": {"device": "cuda"}}
    there = {tuple(row[k] for k in ("method", "device", "task", "metric")): row["value"] for row in rows(finished[0])}
    for row in rows(run(config(settings), tmp_path / "gpu", Silent())):
        if row["metric"] == "nll":
            key = tuple(row[k] for k in ("method", "device", "task", "metric"))
            assert row["value"] == pytest.approx(there[key], rel=0.02)


def test_evaluate_asks_again_without_training(finished: tuple[Path, dict[str, Any]], settings: dict[str, Any]) -> None:
    before = (finished[0] / "results.json").read_text()
    evaluate(finished[0], Silent(), {"eval": {"questions": 2}})
    assert {row["n"] for row in rows(finished[0])} == {2}
    evaluate(finished[0], Silent())
    assert rows(finished[0]) == json.loads(before)["rows"]


def test_another_configuration_is_refused_with_the_difference(finished: tuple[Path, dict[str, Any]]) -> None:
    changed = {**finished[1], "adapter": {**finished[1]["adapter"], "rank": 2}}
    with pytest.raises(UserError, match=r"adapter\.rank: 4 -> 2"):
        run(validate(changed, "test"), finished[0], Silent())


def test_bad_input_leaves_nothing_behind(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["adapter"] |= {"rank": 128}
    with pytest.raises(
        UserError,
        match=r"3 task groups of 128 rows each need 384 rows, layer .* has 256 inputs: lower adapter.rank to 85",
    ):
        run(config(settings), tmp_path / "none", Silent())
    assert not (tmp_path / "none").exists()


def test_memory_is_told_before_and_the_cut_of_micro_batches_outlives_a_stop(
    tmp_path: Path, whole_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run cuts its micro-batches as it began, also where memory would by now allow others."""
    settings = {**whole_settings, "methods": ["bank"]}
    plan = {"train": {**settings["train"], "rounds": 2, "checkpoint": True}}
    whole = run(config(settings, **plan), tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(config(settings, **plan), tmp_path / "again", Stop("round", 1))
    notes = Watch()
    monkeypatch.setattr(
        engine, "forecast_memory", lambda *args: replace(forecast_memory(*args), micro_tokens=1, checkpoint=False)
    )
    run(config(settings, **plan), tmp_path / "again", notes)
    told = [text.partition(" ")[0] for text in notes.texts]
    assert told.count("memory:") == 1
    assert told.index("memory:") < told.index("resuming")
    starts = [event for event in RunStore.open(tmp_path / "again").events() if event["event"] == "start"]
    assert [(e["micro_tokens"], e["checkpoint"]) for e in starts] == [(starts[0]["micro_tokens"], True)] * 2
    assert starts[0]["forecast_bytes"] > 0
    assert rows(tmp_path / "again") == rows(whole)
