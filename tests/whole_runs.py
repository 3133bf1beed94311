"""What tests of whole runs share: a watcher that can stop one, and whether two ended in the same state."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from meshtune.runs.events import Event, Note, RoundDone
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore


class Watch(Silent):
    """Keeps what is said in words; presses Ctrl+C behind a round."""

    def __init__(self, stop: int | None = None) -> None:
        self.texts: list[str] = []
        self._stop = stop

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)
        if isinstance(event, RoundDone) and event.round == self._stop:
            raise KeyboardInterrupt


def header(folder: Path) -> dict[str, Any]:
    """Return the header of a finished run's results."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())["header"]
    return found


def own_nll(folder: Path, method: str) -> dict[int, float]:
    """Return by device the NLL of ``method`` on its own task."""
    results = json.loads((folder / "results.json").read_text())
    groups = results["header"]["groups"]
    rows = [row for row in results["rows"] if row["method"] == method and row["metric"] == "nll"]
    return {row["device"]: row["value"] for row in rows if row["device"] in groups[row["task"]]}


def assert_same_state(first: Path, second: Path, round_: int, but: Collection[str] = ()) -> None:
    """Compare the checkpoints of two runs after ``round_``, bit for bit.

    Only how long they took may differ, and facts named in ``but``.
    """
    (tensors, facts), (others, same) = (RunStore.open(folder).load_round(round_) for folder in (first, second))
    assert set(tensors) == set(others)
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert set(facts) == set(same)
    for key in set(facts) - {"seconds", *but}:
        assert facts[key] == same[key], _first_difference(facts[key], same[key], key)


def _first_difference(one: Any, other: Any, path: str) -> str:
    """Return where two values differ first."""
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        return next((_first_difference(one[k], other[k], f"{path}/{k}") for k in one if one[k] != other[k]), path)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((_first_difference(a, b, f"{path}/{n}") for n, (a, b) in pairs if a != b), path)
    return f"{path}: {one!r:.200} and {other!r:.200}"
