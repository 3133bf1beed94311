"""One node in a fresh process, with nothing but its own rows, its configuration and the bytes that reached it, becomes
what it was in the simulation, bit for bit: over free links, and over a radio that loses and whose devices move.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import alone
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.simulator.connecting import connect
from meshtune.simulator.free_links import FreeExchange
from meshtune.simulator.radio_exchange import RadioExchange
from meshtune.simulator.resume import begin
from meshtune.simulator.rounds import play_round
from meshtune.simulator.run_inputs import RunInputs, announced, load_inputs
from meshtune.training.calibration import prompt_features
from whole_runs import Watch

DEVICE = 2
SLOW = pytest.mark.slow
RING = {"graph": {"kind": "ring"}}
RADIO = {
    "radio": {"range": 70.0, "loss": {"probability": 0.2, "packet": 500}},
    "places": {"radius": 60.0},
    "clusters": {"s_max": 0.05, "inner_rounds": 2},
    "train": {"rounds": 4},
}
MOVING = {
    **RADIO,
    "seed": 4,
    "places": {"radius": 90.0, "mobility": "waypoint", "speed": [10.0, 20.0]},
    "clusters": {"s_max": 0.05, "inner_rounds": 2, "reform": 1},
    "faults": {"dropout": 0.2},
}


def simulated(config: RunConfig) -> tuple[RunInputs, Node, dict[str, Any]]:
    """Play a run; return what it worked with, the device's node after it, and what reached and became known to it."""
    inputs = load_inputs(config, Watch())
    own, _ = announced(inputs, Watch())
    graph, network = connect(config, inputs.site, own, inputs.base.adapters.layers, inputs.factory)
    heard: list[dict[str, Any]] = []
    playing = [0]

    def listen(now: float, one: Envelope) -> None:
        if one.receiver == DEVICE:
            heard.append({"round": playing[0], "time": now, "sender": one.sender, "data": one.data.hex()})

    layers = inputs.base.adapters.layers
    state = begin(inputs.methods, graph, own, layers, inputs.factory, network, listen)
    (nodes,) = state.nodes.values()
    links: FreeExchange | RadioExchange = FreeExchange(listener=listen)
    if network is not None:
        assert inputs.pace is not None
        links = RadioExchange(network, inputs.pace, listen)
    formed = {0: (graph[DEVICE], {} if network is None else network.formed.clusters.index)}
    for number in range(1, config.train.rounds + 1):
        playing[0] = number
        play_round(inputs.base, config, inputs.methods, inputs.devices, inputs.factory, state, Watch(), links)
        if isinstance(links, RadioExchange) and links.formed and links.formed[-1].round == number:
            formed[number] = (
                links.formed[-1].network.formed.graph[DEVICE],
                links.formed[-1].network.formed.clusters.index,
            )
    return (
        inputs,
        nodes[DEVICE],
        {
            "reliable": network is None,
            "heard": heard,
            "formed": {n: [list(near), [list(pair) for pair in of.items()]] for n, (near, of) in formed.items()},
        },
    )


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("bank", RING),
        pytest.param("bank", {**RING, "exchange": {"values": "int4"}, "train": {"rounds": 3}}, marks=SLOW),
        pytest.param("lora", {"graph": {"kind": "full"}}, marks=SLOW),
        pytest.param("paper", RING, marks=SLOW),
        ("bank", {**RADIO, "exchange": {"values": "int4"}}),
        pytest.param("paper", RADIO, marks=SLOW),
        ("bank", MOVING),
        ("proposed", RADIO),
        pytest.param("proposed", {**MOVING, "exchange": {"values": "int4"}}, marks=SLOW),
    ],
    ids=[
        "ring",
        "differences",
        "averages",
        "aggregates",
        "radio",
        "clusters",
        "moving",
        "proposed",
        "common_moving",
    ],
)
def test_a_node_alone_becomes_what_it_was_among_others(
    name: str, more: dict[str, Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    parts = {
        key: {**settings.get(key, {}), **value} if isinstance(value, dict) else value for key, value in more.items()
    }
    settings = {**settings, **parts, "devices": {"count": 5}, "methods": [name], "validation": 0}
    settings["train"]["micro_tokens"] = 1  # every row is a pass of its own, so that it rounds alike in any company
    config = validate(settings, "test")
    inputs, node, facts = simulated(config)
    data = inputs.devices[DEVICE]
    facts |= {
        "config": config.model_dump(mode="json"),
        "method": name,
        "device": DEVICE,
        "group": data.group,
        "questions": [asdict(question) for question in data.questions],
    }
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, alone.__file__, str(tmp_path)], check=True, env=where)
    became = json.loads((tmp_path / "became.json").read_text())
    features = prompt_features(inputs.base, data.prompts(6), inputs.config.router, inputs.config.eval.micro_tokens)
    assert became == alone.described(node, features, inputs.config, inputs.factory)
    assert len(became["bank"]) == 5 or name == "lora" or config.radio is not None
    if config.radio is not None:
        assert len(became["bank"]) > 1
        rounds = {one["round"] for one in facts["heard"]}  # a larger update may not fit a link in every round
        assert rounds >= {0, 2}
        assert len(rounds) >= 3
        assert sorted(one["time"] for one in facts["heard"]) == [one["time"] for one in facts["heard"]]
    if more is MOVING:
        assert any(alone.introduces(bytes.fromhex(one["data"])) for one in facts["heard"] if one["round"])
