"""One node in a fresh process, with nothing but its own rows, its configuration and the bytes that reached it, becomes
what it was in the simulation, bit for bit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import alone
from meshtune.config.run_config import validate
from meshtune.network.federation_state import FederationState
from meshtune.node.node import Node
from meshtune.simulator import simulation
from meshtune.simulator.run_inputs import RunInputs
from meshtune.training.calibration import prompt_features
from whole_runs import Watch

DEVICE = 2


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("proposed", {"graph": {"kind": "ring"}}),
        ("proposed", {"graph": {"kind": "ring"}, "exchange": {"values": "int4"}, "train": {"rounds": 3}}),
        ("lora", {"graph": {"kind": "full"}}),
        ("paper", {"graph": {"kind": "ring"}}),
    ],
    ids=["a bank over a ring", "differences", "averages", "aggregates"],
)
def test_a_node_alone_becomes_what_it_was_among_others(
    name: str, more: dict[str, Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings = {
        **settings,
        **{key: {**settings.get(key, {}), **value} for key, value in more.items()},
        "devices": {"count": 5},
        "methods": [name],
        "validation": 0,
    }
    settings["train"]["micro_tokens"] = 1  # every row is a pass of its own, so that it rounds alike in any company
    config = validate(settings, "test")
    heard: list[dict[str, Any]] = []
    last: list[tuple[RunInputs, FederationState]] = []
    plain, finish = Node.take, simulation._finish

    def take(node: Node, sender: int, data: bytes) -> None:
        if node.device == DEVICE:
            heard.append({"round": node.rules.round, "sender": sender, "data": data.hex()})
        plain(node, sender, data)

    def finished(inputs: RunInputs, state: FederationState, *args: Any) -> Path:
        last.append((inputs, state))
        return finish(inputs, state, *args)

    with mock.patch.object(Node, "take", take), mock.patch.object(simulation, "_finish", finished):
        simulation.run(config, tmp_path / "run", Watch())
    inputs, state = last[-1]
    node, data = state.nodes[name][DEVICE], inputs.devices[DEVICE]
    facts = {
        "config": config.model_dump(mode="json"),
        "method": name,
        "device": DEVICE,
        "group": data.group,
        "questions": [asdict(question) for question in data.questions],
        "links": list(node.links),
        "reliable": True,
        "heard": heard,
    }
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, alone.__file__, str(tmp_path)], check=True, env=where)
    became = json.loads((tmp_path / "became.json").read_text())
    features = prompt_features(inputs.base, data.prompts(6), inputs.config.router, inputs.config.eval.micro_tokens)
    assert became == alone.described(node, features, inputs.config, inputs.factory)
    assert len(became["bank"]) == 5 or name == "lora"
