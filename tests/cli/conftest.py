"""An engine that only pretends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meshtune.runs.events import Note


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Put a pretended engine in place; what it was called with is collected in the list that comes back."""

    def install(action: Callable[[Path], None]) -> list[Any]:
        calls: list[Any] = []
        fake = ModuleType("meshtune.simulator.simulation")

        def run(config: Any, out: Path, observer: Any) -> Path:
            calls.append((config, out))
            observer(Note("pretending"))
            action(out)
            return out

        def evaluate(path: Path, observer: Any, changes: Any) -> Path:
            calls.append((path, changes))
            action(path)
            return path

        fake.run, fake.evaluate = run, evaluate  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "meshtune.simulator.simulation", fake)
        monkeypatch.setattr("meshtune.simulator.simulation", fake, raising=False)
        return calls

    return install
