"""The demo is a run of a configuration of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.demo_config import demo_config
from pretended import call, finish


def test_the_demo_is_a_verb_of_its_own(
    engine: Callable[..., list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls = engine(finish)
    result = call("demo", "--set", "train.rounds=1")
    assert result.exit_code == 0, result.stderr
    assert calls[-1] == (demo_config(["train.rounds=1"]), Path("runs/demo"))
    assert call("demo", "--out", tmp_path / "other").exit_code == 0
    assert calls[-1] == (demo_config(), tmp_path / "other")
