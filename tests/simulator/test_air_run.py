"""Whole runs over the air on the tiny base: they end, are a function of their seed, resume bit for bit and say why."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.inference.opening import DeviceLoader
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import evaluate, run
from whole_runs import Watch, assert_same_state, header

AIR: dict[str, Any] = {
    "devices": {"count": 6},
    "methods": ["bank", "paper", "lora", "local"],
    "paper": {"reading": "unrouted"},
    "radio": {"loss": {"probability": 0.1, "packet": 500}},
    "compute": {"spread": 2.0},
    "clusters": {"s_max": 0.05, "inner_rounds": 2},
    "faults": {"dropout": 0.2},
}


def over_the_air(settings: dict[str, Any], **more: Any) -> RunConfig:
    air = {**settings, **AIR, **more}
    air["train"] = {**settings["train"], "rounds": 3, "steps": 1}
    air["eval"] = {"questions": 3, "every": 1}
    return validate(air, "test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> tuple[Path, Watch]:
    watch = Watch()
    return run(over_the_air(whole_settings), tmp_path_factory.mktemp("air") / "whole", watch), watch


def test_it_has_several_clusters_and_says_so(finished: tuple[Path, Watch]) -> None:
    folder, watch = finished
    network = header(folder)["network"]
    assert 1 < len(network["clusters"]) < 6
    assert network["components"] == [list(range(6))]
    assert len(network["links"]) == len(network["clusters"]) - 1
    assert all(rate <= 0.05 for rate in network["collision_expected"])
    assert set(network["why"]) == {str(device) for device in range(6)}
    cluster = {device: number for number, members in enumerate(network["clusters"]) for device in members}
    pairs = {(a, b) for members in network["clusters"] for a in members for b in members if a < b}
    assert {(a, b) for a, b, _ in network["within"]} == pairs  # 20 MHz reach everywhere
    assert [device for device, _, _ in network["refused"]] == list(range(6))
    for device, other, kind in network["refused"]:
        assert cluster[device] != cluster[other]
        assert kind == "collision"  # what S_max=0.05 leaves to decide
        assert network["why"][str(device)].splitlines()[1].startswith(f"{other} ")
    assert any(text.startswith(f"{len(network['clusters'])} clusters over the air") for text in watch.texts)
    assert any("rounds stay within clusters" in text for text in watch.texts)  # three rounds, an exchange every second
    stored = [event for event in RunStore.open(folder).events() if event["event"] == "network"]
    assert [{k: v for k, v in event.items() if k != "event"} for event in stored] == [network]


def test_clocks_are_told_round_by_round_and_agree_with_the_log(finished: tuple[Path, Watch]) -> None:
    methods = header(finished[0])["methods"]
    for name, facts in methods.items():
        clock = facts["clock"]
        rounds = clock["per_round"]
        assert {len(values) for values in rounds.values()} == {4}
        assert clock["seconds"] == pytest.approx(sum(rounds["seconds"]))
        assert clock["joules"] == pytest.approx(sum(rounds["sending"]) + sum(rounds["computing"]))
        assert ("repeated" in facts["bytes"]) == (name != "local")
        assert facts["clock"]["airtime"] == 0 or name != "local"
    bank = methods["bank"]["clock"]["per_round"]
    assert bank["seconds"][1] == bank["seconds"][3] < bank["seconds"][2]  # which has the exchange
    assert bank["away"] == methods["lora"]["clock"]["per_round"]["away"]
    assert sum(bank["away"]) > 0
    logged = [event["clocks"] for event in RunStore.open(finished[0]).events() if event["event"] == "round"]
    assert [entry["bank"]["seconds"] for entry in logged] == pytest.approx(
        [sum(bank["seconds"][: number + 1]) for number in range(1, 4)]
    )


def test_scores_by_round_make_curves_against_seconds_and_joules(finished: tuple[Path, Watch]) -> None:
    curves = header(finished[0])["curves"]
    assert set(curves) == {"bank", "bank:top1", "bank:cosine", "paper", "lora", "local"}
    rows = json.loads((finished[0] / "results.json").read_text())["rows"]
    for label, points in curves.items():
        clock = header(finished[0])["methods"][label.split(":")[0]]["clock"]
        assert [point["round"] for point in points] == [1, 2, 3]
        assert points[-1]["seconds"] == pytest.approx(clock["seconds"])
        assert points[-1]["joules"] == pytest.approx(clock["joules"])
        last = [row["value"] for row in rows if row["method"] == label and row["metric"] == "nll"]
        assert points[-1]["nll"] == pytest.approx(fmean(last))
        assert points[0]["seconds"] < points[1]["seconds"] < points[2]["seconds"]
    assert {row["round"] for row in rows} == {3}


def test_a_link_within_a_cluster_carries_what_its_weaker_end_can(finished: tuple[Path, Watch]) -> None:
    """W/u log2(1 + p_max/u h / (N0 W/u)) with h = d^-2 and u mates, on the way that carries less."""
    network = header(finished[0])["network"]
    mates = {device: len(members) - 1 for members in network["clusters"] for device in members}
    noise = 10 ** (-174 / 10) / 1000
    for a, b, carried in network["within"]:
        d = math.dist(network["positions"][a], network["positions"][b])
        u = max(mates[a], mates[b])
        assert carried == pytest.approx(20e6 / u * math.log2(1 + 0.01 / (noise * 20e6) / d**2))


def test_a_stopped_run_over_the_air_goes_on_bit_for_bit(
    tmp_path: Path, settings: dict[str, Any], finished: tuple[Path, Watch]
) -> None:
    """Which also shows that a second run of the same seed is the same run."""
    with pytest.raises(KeyboardInterrupt):
        run(over_the_air(settings), tmp_path / "cut", Watch(stop=1))
    run(over_the_air(settings), tmp_path / "cut", Silent())
    assert_same_state(finished[0], tmp_path / "cut", 3)
    first, second = (json.loads((f / "results.json").read_text()) for f in (finished[0], tmp_path / "cut"))
    assert first["rows"] == second["rows"]
    assert [first["header"][key] for key in ("network", "curves")] == [
        second["header"][key] for key in ("network", "curves")
    ]


def test_factors_that_take_turns_cross_the_air(tmp_path: Path, settings: dict[str, Any]) -> None:
    """In differences, with losses and devices away: nothing is refused, and a stopped run goes on bit for bit."""
    made = over_the_air(settings, methods=["alternating"], exchange={"values": "int4"})
    whole = run(made, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(made, tmp_path / "cut", Watch(stop=2))
    run(made, tmp_path / "cut", Silent())
    assert_same_state(whole, tmp_path / "cut", 3)
    _, facts = RunStore.open(whole).load_round(3)
    assert not any(node["refused"] for node in facts["nodes"]["alternating"])
    assert sum(header(whole)["methods"]["alternating"]["clock"]["per_round"]["away"]) > 0


@pytest.mark.parametrize("form", ["bfloat16", "float32", "int8", "int4", "int2"])
def test_largest_changes_cross_the_air(tmp_path: Path, settings: dict[str, Any], form: str) -> None:
    """In every form of values, with losses and devices away: nothing is refused, a stopped run goes on bit for bit."""
    made = over_the_air(settings, methods=["proposed"], exchange={"values": form})
    whole = run(made, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(made, tmp_path / "cut", Watch(stop=2))
    run(made, tmp_path / "cut", Silent())
    assert_same_state(whole, tmp_path / "cut", 3)
    first, second = (json.loads((folder / "results.json").read_text()) for folder in (whole, tmp_path / "cut"))
    assert first["rows"] == second["rows"]
    _, facts = RunStore.open(whole).load_round(3)
    assert not any(node["refused"] for node in facts["nodes"]["proposed"])
    assert sum(header(whole)["methods"]["proposed"]["clock"]["per_round"]["away"]) > 0


def test_it_can_be_evaluated_and_asked_as_any_run(finished: tuple[Path, Watch]) -> None:
    before = header(finished[0])["network"]
    evaluate(finished[0], Silent(), {"eval": {"questions": 2}})
    assert header(finished[0])["network"] == before
    for method in ("bank", "paper"):
        reply = DeviceLoader(finished[0], Silent()).load(device=5, method=method).choose("Is 3 even?", ["yes", "no"])
        assert sum(odds for _, odds in reply.options) == pytest.approx(1.0)
    evaluate(finished[0], Silent())


def moving(settings: dict[str, Any]) -> RunConfig:
    """Six devices that roam a disc in which not all hear each other."""
    more = {
        "methods": ["bank", "paper", "lora"],
        "radio": {"range": 60.0},
        "places": {"radius": 60.0, "mobility": "waypoint", "speed": [10.0, 20.0]},
        "clusters": {"s_max": 0.05, "reform": 1},
        "seed": 2,
    }
    config = over_the_air(settings, **more)
    return config.model_copy(update={"eval": config.eval.model_copy(update={"every": None})})


def test_a_stopped_run_of_devices_that_move_finds_its_networks_again(tmp_path: Path, settings: dict[str, Any]) -> None:
    watch = Watch()
    run(moving(settings), tmp_path / "whole", watch)
    with pytest.raises(KeyboardInterrupt):
        run(moving(settings), tmp_path / "cut", Watch(stop=2))  # before the clusters of round 2 are logged
    run(moving(settings), tmp_path / "cut", Silent())
    assert_same_state(tmp_path / "whole", tmp_path / "cut", 3)
    stores = [RunStore.open(tmp_path / name) for name in ("whole", "cut")]
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "cut")]
    assert results[0]["rows"] == results[1]["rows"]
    logged, again = ([event for event in store.events() if event["event"] == "network"] for store in stores)
    assert logged == again
    assert "method" not in logged[0]
    assert [(event["round"], event["method"]) for event in logged[1:]] == [
        (number, method) for number in (2, 3) for method in ("bank", "paper", "lora")
    ]
    clocks = results[0]["header"]["methods"]
    for event in logged[1:]:
        passed = clocks[event["method"]]["clock"]["per_round"]["seconds"][: event["round"]]
        assert event["time"] == sum(passed)
    bank, _, lora = logged[4:]  # behind an exchange between clusters, in which one of them relays
    assert bank["time"] > lora["time"]
    assert bank["positions"] != lora["positions"]
    changed = {event["round"] for event in logged[1:] if event["moved"]}
    assert changed
    assert len([text for text in watch.texts if "used other clusters" in text]) == len(changed)
    assert DeviceLoader(tmp_path / "cut", Silent()).load(device=5, method="paper").ask("Is 3 even?", tokens=2).weights


def test_masks_that_collide_more_than_allowed_are_told(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Two devices of one task: with `expected` rates they may be together, their real masks crowd on the same rows."""
    settings |= {"tasks": ["boolq"], "methods": ["bank"], "devices": {"count": 2}, "faults": {}, "radio": {}}
    watch = Watch()
    tight = {"s_max": 0.02, "rate": "expected", "inner_rounds": 1}
    changed = {**settings, "clusters": tight, "train": {**settings["train"], "rounds": 1, "steps": 1}}
    folder = run(validate(changed, "test"), tmp_path / "crowded", watch)
    network = header(folder)["network"]
    assert network["clusters"] == [[0, 1]]
    real, expected = network["collision_measured"][0], network["collision_expected"][0]
    told = [text for text in watch.texts if text.startswith("the masks of cluster 0 and 1 collide")]
    assert expected <= 0.02
    assert len(told) == (real > 0.02)
    assert told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph": {"kind": "ring"}}, r"graph\.kind=ring, .*: with a radio its clusters are the graph"),
        ({"radio": None}, r"faults need a radio and its clock: set radio=\{\}"),
        ({"radio": None, "faults": {}, "round_seconds": 2.0}, r"round_seconds=2 needs a radio and its clock"),
        (
            {"radio": None, "faults": {}, "clusters": {"masks": "negotiated"}},
            r"clusters\.masks=negotiated needs a radio and its clusters: set radio=\{\}, or clusters\.masks=own",
        ),
        ({"round_seconds": 0.1}, r"round_seconds=0\.1 ends before the fastest device has computed .* raise it to at"),
        (
            {"clusters": {"reform": 2}},
            r"clusters\.reform=2 .*stand still \(places\.mobility=static\): leave it out, or",
        ),
        ({"places": {"positions": [[0, 0], [1, 1]]}}, r"places\.positions places 2 devices and there are 6"),
        ({"places": {"positions": [[0, 0]] * 6}}, r"devices 0 and 1 both stand at \(0, 0\): move one"),
        ({"radio": {"channel": "trace", "trace": "TRACE"}}, r"1 rounds?.*3"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_leaves_nothing_behind(
    tmp_path: Path, settings: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    if "TRACE" in str(change):
        (tmp_path / "trace.csv").write_text("round,a,b,gain_db\n1,0,1,-60\n")
        change = {"radio": {"channel": "trace", "trace": str(tmp_path / "trace.csv")}}
    with pytest.raises(UserError, match=message):
        run(over_the_air(settings, **change), tmp_path / "none", Silent())
    assert not (tmp_path / "none").exists()
