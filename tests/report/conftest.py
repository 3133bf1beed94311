"""A small run whose every figure is known by hand, shared by the tests of this folder."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Averages by hand: frozen (6 + 4) / 2 = 5; hard_moe (2 + 2) / 2 = 2; proposed device 0: (2, 3), device 1: (2,
# 3) -> 2.5; lora (4 + 4) / 2 = 4. Shares: proposed (5 - 2.5) / 3 = 5/6, lora 1/3.
VALUES = {
    "frozen": {(0, "boolq"): 6.0, (0, "piqa"): 4.0, (1, "boolq"): 6.0, (1, "piqa"): 4.0},
    "proposed": {(0, "boolq"): 2.0, (0, "piqa"): 3.0, (1, "boolq"): 2.0, (1, "piqa"): 3.0},
    "lora": {(0, "boolq"): 3.0, (0, "piqa"): 4.0, (1, "boolq"): 5.0, (1, "piqa"): 4.0},
    "hard_moe": {(0, "boolq"): 2.0, (0, "piqa"): 2.0, (1, "boolq"): 2.0, (1, "piqa"): 2.0},
}


def raw_results(**changes: Any) -> dict[str, Any]:
    rows = [
        {"method": m, "seed": 0, "round": 0 if m == "frozen" else 2, "device": d, "task": t, "metric": metric}
        | {"value": v if metric == "nll" else 0.5, "n": 25, "stderr": 0.3 if t == "boolq" else 0.4}
        for metric in ("nll", "acc")
        for m, cells in VALUES.items()
        for (d, t), v in cells.items()
    ]
    header = {
        "config": {"seed": 0},
        "versions": {"python": "3.11"},
        "model": {"name": "tiny", "parameters": 1000, "adapted_layers": 7, "adapted_parameters": 700},
        "groups": {"boolq": [0], "piqa": [1]},
        "seed": 0,
        "methods": {
            "proposed": {
                "parameters_updated": 10,
                "bytes": {"values": 1500, "masks": 200, "router": 0, "control": 34, "relayed": 0},
                "payload_bytes": 120,
            }
        },
        "router": {
            "whitened": {
                "template": "shared",
                "groups": ["boolq", "piqa"],
                "confusion": [[3, 1], [0, 4]],
                "accuracy": 0.875,
                "accuracy_merged": 1.0,
                "regret": 0.5,
                "regret_stderr": 0.1,
                "log_loss": 0.25,
                "temperature": 8.0,
            }
        },
        "seconds": {"train": 1.5},
        "peak_memory_bytes": 1,
    }
    return {"format": "meshtune-results", "version": 1, "header": header, "rows": rows} | changes


def write_run(folder: Path, raw: dict[str, Any] | None = None, scores: list[dict[str, Any]] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(raw or raw_results()))
    if scores is not None:
        (folder / "scores.jsonl").write_text("".join(json.dumps(s) + "\n" for s in scores))
    return folder


@pytest.fixture
def flown(raw: dict[str, Any]) -> dict[str, Any]:
    """The same run with a radio: two devices in a cluster, one by itself that the first reaches."""
    found = copy.deepcopy(raw)
    found["header"]["network"] = {
        "clusters": [[0, 1], [2]],
        "collision_measured": [0.08, 0.0],
        "s_max": 0.1,
        "payload_bytes": 120,
        "links": [[0, 2]],
        "within": [[0, 1, 2e6]],
        "refused": [[0, 2, "collision"], [2, 0, "collision"]],
        "positions": [[0.0, 0.0], [30.0, 40.0], [-100.0, 0.0]],
    }
    found["header"]["groups"] = {"boolq": [0], "piqa": [1, 2]}
    points = {"proposed": [(1, 3.0, 8.0, 3.5), (2, 9.0, 16.0, 2.5)], "lora": [(2, 7.0, 16.5, 4.0)]}
    found["header"]["curves"] = {
        name: [dict(zip(("round", "seconds", "joules", "nll"), point, strict=True)) for point in way]
        for name, way in points.items()
    }
    rounds = {"seconds": [1.0, 8.0], "sending": [0.5e-6, 1.5e-6], "computing": [0.0, 16.0]}
    rounds |= {"lost": [0, 1], "late": [0, 0], "away": [0, 2]}
    clock = {"seconds": 9.0, "joules": 16.0, "airtime": 3.5, "outages": 0}
    methods = found["header"]["methods"]
    methods["proposed"]["clock"] = {**clock, "per_round": {**rounds, "outages": [0, 0]}}
    methods["lora"] = {"clock": {**clock, "outages": 3, "per_round": {**rounds, "outages": [0, 3]}}}
    return found


@pytest.fixture
def raw() -> dict[str, Any]:
    return raw_results()


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, raw: dict[str, Any] | None = None, scores: list[dict[str, Any]] | None = None) -> Path:
        return write_run(tmp_path / name, raw, scores)

    return make
