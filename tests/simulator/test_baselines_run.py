"""Whole runs of the paper's method and the baselines: what they train, send and answer, and that they resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from meshtune.adapter.sites import places
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.methods.registry import CATALOGUE, get_method
from meshtune.model.loading import load
from meshtune.node.stored_announcements import PREPARED, load_announcements
from meshtune.runs.events import Event, RoundDone
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run

ELSEWHERE = ("bank", "lora", "hard_moe", "hard_moe_lora", "local")  # in the settings of most other whole runs
CHEAP = [name for name in CATALOGUE if name not in ELSEWHERE]


class Stop(Silent):
    """Presses Ctrl+C behind the first round."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, RoundDone):
            raise KeyboardInterrupt


def config(settings: dict[str, Any], **more: Any) -> RunConfig:
    return validate({**settings, "devices": {"count": 4}, "methods": CHEAP, **more}, "test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> tuple[Path, RunConfig]:
    settings = {**whole_settings, "model": {"name": "tiny-random"}, "paper": {"also": ["diag", "outer", "unrouted"]}}
    made = config(settings)
    return run(made, tmp_path_factory.mktemp("runs") / "baselines", Silent()), made


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def averages(folder: Path) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for row in results(folder)["rows"]:
        if row["metric"] == "nll":
            sums.setdefault(row["method"], []).append(row["value"])
    return {name: sum(values) / len(values) for name, values in sums.items()}


def test_all_are_scored_and_the_paper_in_each_of_its_readings(finished: tuple[Path, RunConfig]) -> None:
    found = averages(finished[0])
    readings = [f"{m}:{r}" for m in CHEAP if get_method(m).routing.codes for r in ("diag", "outer", "unrouted")]
    routed = [f"{m}:{r}" for m in CHEAP if get_method(m).routing.statistics for r in ("top1", "cosine")]
    assert set(found) == {"frozen", *CHEAP, *readings, *routed}
    assert {"paper:diag", "paper_masked:outer", "single_cluster:unrouted", "shared_b:cosine"} <= set(found)
    assert found["paper"] == found["single_cluster"]
    assert len({round(found[name], 9) for name in ("paper", "paper:diag", "paper:outer", "paper_masked")}) == 4


def test_what_is_trained_and_sent_is_counted(finished: tuple[Path, RunConfig]) -> None:
    header = results(finished[0])["header"]
    methods, positions = header["methods"], header["model"]["expansion_positions"]
    trained = {name: methods[name]["parameters_updated"] for name in CHEAP}
    assert trained["ffa"] == positions
    assert trained["fpft"] == header["model"]["parameters"]
    for name in ("paper", "shared_b", "lori", "lori_uniform"):
        assert trained[name] == pytest.approx(0.1 * positions, rel=0.01)
    layers, adapter = load(finished[1].model).adapters.layers, finished[1].adapter
    for name in CHEAP:
        sent, kind = methods[name]["bytes"], get_method(name).kind
        times = {"alternating": 1}.get(name, 2)  # rounds in which a value is sent
        if chosen := kind.chosen(layers, adapter)[1]:  # its own part, and the largest changes with their positions
            own = trained[name] - chosen
            least = 4 * 3 * times * 2 * (own + kind.chosen(layers, adapter)[0])
            assert least < sent["values"] < least + 4 * 3 * times * (4 + 13 + (trained[name] + 7) // 8)
            continue
        assert sent["values"] == (4 * 3 * times * trained[name] * 2 if get_method(name).sharing.sends else 0)
    # Four devices announce their task codes, bf16, to three others each: one vector of k a place.
    widths = places(layers)
    codes = 4 * 3 * 2 * sum(widths.values())
    assert methods["paper"]["bytes"]["router"] == codes
    assert methods["lori"]["bytes"]["router"] == 0


def test_lori_masks_come_from_a_dense_run(finished: tuple[Path, RunConfig]) -> None:
    store = RunStore.open(finished[0])
    layers = load(finished[1].model).adapters.layers
    own, _ = load_announcements(store, finished[1], layers)
    for announced in own:
        dense, even = announced.others["lori"], announced.others["lori_uniform"]
        shares = [len(mask) / (4 * layer.outputs) for mask, layer in zip(even, layers, strict=True)]
        assert shares == pytest.approx([0.1] * len(layers), abs=0.01)
        assert len({len(mask) / (4 * layer.outputs) for mask, layer in zip(dense, layers, strict=True)}) > 3
    assert store.has(PREPARED)


def test_one_pooled_adapter_answers_for_every_device(finished: tuple[Path, RunConfig]) -> None:
    found: dict[tuple[str, str], set[float]] = {}
    for row in results(finished[0])["rows"]:
        if row["metric"] == "nll":
            found.setdefault((row["method"], row["task"]), set()).add(row["value"])
    for name in ("central", "fpft", "ffa", "paper"):
        assert all(len(values) == 1 for (method, _), values in found.items() if method == name)


def test_a_stopped_run_goes_on_bit_for_bit(finished: tuple[Path, RunConfig], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(finished[1], tmp_path / "cut", Stop())
    run(finished[1], tmp_path / "cut", Silent())
    whole, cut = (RunStore.open(folder).load_round(2)[0] for folder in (finished[0], tmp_path / "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert results(finished[0])["rows"] == results(tmp_path / "cut")["rows"]


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_all_weights_cross_the_air_quantised(whole_settings: dict[str, Any], tmp_path: Path, form: str) -> None:
    settings = {**whole_settings, "model": {"name": "tiny-random"}, "exchange": {"values": form}}
    few = {
        "methods": ["fpft"],
        "eval": {**settings["eval"], "questions": 2},
        "train": {**settings["train"], "rounds": 3},
    }
    made = config(settings, **few)
    folder = run(made, tmp_path / "out", Silent())
    # Nobody keeps what others sent, so that from the second round on all of it is sent: the rounds cost alike.
    costs = [sum(found.values()) for found in results(folder)["header"]["methods"]["fpft"]["bytes_per_round"].values()]
    assert len(costs) == 4
    assert costs[3] == pytest.approx(costs[2], rel=0.1)
    assert costs[2] > 1.2 * costs[1]


def test_every_method_is_in_some_whole_run(settings: dict[str, Any]) -> None:
    assert set(ELSEWHERE) <= set(settings["methods"])
