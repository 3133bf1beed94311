"""Verbs of the command line over an engine that only pretends: what a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from meshtune.cli.main import app

RESULTS = {
    "format": "meshtune-results",
    "version": 1,
    "header": {"methods": {"bank": {"parameters_updated": 7, "bytes": {"values": 5}, "payload_bytes": 5}}},
    "rows": [
        {
            "method": m,
            "seed": 0,
            "round": 1,
            "device": 0,
            "task": "boolq",
            "metric": metric,
            "value": v,
            "n": 9,
        }
        | {"stderr": 0.1}
        for m, v in (("frozen", 4.0), ("bank", 2.0))
        for metric in ("nll", "acc")
    ],
}


def finish(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(RESULTS))


def call(*args: str | Path) -> Any:
    return CliRunner().invoke(app, [str(arg) for arg in args])
