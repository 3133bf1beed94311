"""Whole runs whose devices are one cluster linked by ``graph.kind``, beside their plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.planning.planner import plan
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from whole_runs import Watch, assert_same_state, header

# Six devices on a circle of 100 m: next ones are 100 m apart, opposite ones 200 m.
CIRCLE = [(100.0, 0.0), (50.0, 86.6), (-50.0, 86.6), (-100.0, 0.0), (-50.0, -86.6), (50.0, -86.6)]
RING = {(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)}


def over_a_graph(settings: dict[str, Any], graph: dict[str, Any], rounds: int = 2, **more: Any) -> RunConfig:
    tree = {
        **settings,
        "devices": {"count": 6},
        "methods": ["bank", "paper", "lora"],
        "paper": {"reading": "unrouted"},
        "radio": {"fading": "none"},
        "places": {"positions": CIRCLE},
        "clusters": {"kind": "single", "inner_rounds": 2},
        "graph": graph,
        "train": {**settings["train"], "rounds": rounds, "steps": 1},
        "eval": {"questions": 2},
    }
    return validate({**tree, **more}, "test")


def versions(folder: Path, round_: int, method: str) -> list[dict[int, int]]:
    """Return which version of whose update every device holds behind a round, from the checkpoint."""
    _, facts = RunStore.open(folder).load_round(round_)
    return [{held[0]: held[1] for held in member["held"]} for member in facts["nodes"][method]]


def test_over_a_ring_all_end_with_the_newest_of_all_and_the_plan_knows(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = over_a_graph(settings, {"kind": "ring"})
    folder = run(config, tmp_path / "ring", Silent())
    network, planned = header(folder)["network"], plan(config)
    assert network["clusters"] == [list(range(6))]
    assert {(a, b) for a, b, _ in network["within"]} == RING
    assert {(link.sender, link.receiver) for link in planned.links} == RING | {(b, a) for a, b in RING}
    assert all(link.served for link in planned.links)
    assert network["why"]["0"].endswith("graph.kind=ring links device 0 to 1 and 5")
    assert planned.devices[0].reason == network["why"]["0"]
    assert versions(folder, 2, "bank") == versions(folder, 2, "paper") == [dict.fromkeys(range(6), 2)] * 6
    assert set(versions(folder, 2, "lora")[0]) == {0, 1, 5}
    for method in planned.methods:
        ran = header(folder)["methods"][method.method]
        assert ran["bytes"]["values"] == method.run["values"]
        rounds = ran["bytes_per_round"]
        # All but itself and two neighbours, once, by six devices; headers of passed updates have a few digits more.
        copies = 6 * 3 if method.method != "lora" else 0
        assert rounds["1"]["relayed"] == 0
        assert rounds["2"]["relayed"] == pytest.approx(copies * method.update, rel=0.01, abs=0)
        announced = 6 * 3 * (method.mask + method.router + method.control)
        assert method.run["relayed"] == copies * method.update + announced


@pytest.mark.parametrize(
    "graph",
    [
        {"kind": "full"},
        {"kind": "exponential"},
        {"kind": "random", "neighbours": 1},
        {"kind": "geometric", "radius": 90},
    ],
    ids=lambda graph: graph["kind"],
)
def test_a_plan_has_the_links_of_its_run(tmp_path: Path, settings: dict[str, Any], graph: dict[str, Any]) -> None:
    """Places are drawn, and not all are in range of each other."""
    more = {
        "radio": {"fading": "none", "range": 100.0},
        "places": {"radius": 120.0},
        "methods": ["bank"],
        "seed": 4,
    }
    config = over_a_graph(settings, graph, 1, **more)
    network = header(run(config, tmp_path / "run", Silent()))["network"]
    planned = plan(config)
    served = {(link.sender, link.receiver) for link in planned.links if link.served}
    assert served == {way for a, b, _ in network["within"] for way in ((a, b), (b, a))}
    assert 0 < len(served) < 6 * 5
    assert sorted(map(len, network["components"]), reverse=True) == list(planned.parts)
    assert planned.payload == network["payload_bytes"]


def test_a_stopped_run_over_a_ring_goes_on_bit_for_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    more = {"radio": {"loss": {"probability": 0.1, "packet": 500}}, "faults": {"dropout": 0.2}, "methods": ["paper"]}
    clusters = {"kind": "single", "inner_rounds": 2, "masks": "negotiated"}
    more["paper"] = {"projection": "group", "masks": "calibrated"}  # the masks that can be negotiated
    config = over_a_graph(settings, {"kind": "exponential"}, 3, clusters=clusters, **more)
    watch = Watch()
    run(config, tmp_path / "whole", watch)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "cut", Watch(stop=1))
    run(config, tmp_path / "cut", Silent())
    assert_same_state(tmp_path / "whole", tmp_path / "cut", 3)
    assert any("those of the last 1 of 3 rounds reach only direct neighbours" in text for text in watch.texts)
    assert any(text.startswith("masks were negotiated") for text in watch.texts)


def test_a_ring_that_breaks_is_told(tmp_path: Path, settings: dict[str, Any]) -> None:
    places = {"positions": [*CIRCLE[:4], (1000.0, 0.0), (1050.0, 0.0)]}
    more = {"radio": {"fading": "none", "range": 120.0}, "places": places, "methods": ["bank"]}
    config = over_a_graph(settings, {"kind": "ring"}, 1, **more)
    watch = Watch()
    folder = run(config, tmp_path / "broken", watch)
    told = "2 of the 6 pairs that graph.kind=ring links are out of reach, for range or power"
    apart = "the graph is disconnected into 2 parts of 4, 2 devices: each trains separately"
    assert told in watch.texts
    assert any(text.startswith(apart) for text in watch.texts)
    assert header(folder)["network"]["components"] == [[0, 1, 2, 3], [4, 5]]
    planned = plan(config)
    assert planned.parts == (4, 2)
    assert any(note.startswith(apart) for note in planned.notes)
    assert any(note.startswith("4 of 12 links within clusters do not carry") for note in planned.notes)
    assert (planned.devices[0].neighbours, planned.devices[0].unserved) == ((1,), (5,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"graph": {"kind": "geometric"}}, r"graph\.kind=geometric links devices within a radius: set graph\.radius"),
        ({"graph": {"radius": 5}}, r"graph\.radius=5 is not read by graph\.kind=full: set graph\.kind=geometric, or"),
        ({"graph": {"kind": "geometric", "radius": 0}}, r"graph\.radius=0: give 0\.001 to 1e\+08 m"),
        ({"graph": {"kind": "geometric", "radius": float("inf")}}, r"graph\.radius=inf: input should be a finite"),
        (
            {"graph": {"kind": "geometric", "radius": 5}, "radio": None},
            r"graph\.kind=geometric links devices by where they are, and places belong to the radio: set radio=\{\}",
        ),
        (
            {"graph": {"kind": "exponential"}, "clusters": {}},
            r"graph\.kind=exponential, .*: with a radio its clusters are the graph, so set clusters\.kind=single to",
        ),
        ({"graph": {"relay": False}, "clusters": {}}, r"graph\.relay=false: with a radio its clusters are the graph"),
    ],
)
def test_settings_that_do_not_go_together_are_one_sentence(
    settings: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        over_a_graph(settings, **{"graph": {}, **change})
    assert "\n" not in str(caught.value)


def test_an_exponential_graph_over_free_links(tmp_path: Path, settings: dict[str, Any]) -> None:
    tree = {"radio": None, "places": {}, "clusters": {}, "methods": ["bank"], "devices": {"count": 6}}
    folder = run(
        over_a_graph(settings, {"kind": "exponential", "relay": False}, 1, **tree), tmp_path / "free", Silent()
    )
    held = versions(folder, 1, "bank")
    assert set(held[0]) == {0, 1, 2, 4, 5}  # 1, 2 and 4 places on, and those that 0 is for: 5, 4 and 2
