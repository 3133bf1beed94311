"""Rows of a small task in files, and the configuration that reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig


def row(n: int | str, **change: Any) -> dict[str, Any]:
    return {"goal": f"Cut board {n}.", "sol1": f"Use saw {n}.", "sol2": f"Use spoon {n}.", "label": 0, **change}


def put(folder: Path, task: str = "piqa", **splits: Sequence[Any]) -> Path:
    (folder / task).mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        (folder / task / f"{split}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def config(data: Path, **settings: Any) -> RunConfig:
    return validate({"tasks": ["piqa"], "data": str(data), **settings}, "test")


def goals(questions: Sequence[Any]) -> set[str]:
    return {question.asked for question in questions}
