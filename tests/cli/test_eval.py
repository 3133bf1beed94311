"""An exam again: which settings are handed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshtune.config.config_file import validate
from pretended import call, finish


def test_eval_passes_the_exam_settings_on(engine: Callable[..., list[Any]], tmp_path: Path) -> None:
    calls = engine(finish)
    begun = validate({"tasks": ["boolq"], "router": {"also": ["top1"]}}, "here")
    (tmp_path / "config.json").write_text(begun.model_dump_json())
    result = call("eval", tmp_path, "--questions", "7", "--router", "top1", "--router", "cosine")
    assert result.exit_code == 0, result.stderr
    changes = {"eval": {"questions": 7}, "router": {"also": ["top1", "cosine"]}}
    assert calls == [(tmp_path, changes)]
    assert call("eval", tmp_path).exit_code == 0
    assert calls[-1] == (tmp_path, {})
    assert call("eval", tmp_path, "--unsafe-code").exit_code == 0
    assert calls[-1] == (tmp_path, {"eval": {"unsafe_code": True}})
    assert call("eval", tmp_path, "--unsafe-code", "--questions", "7").exit_code == 0
    assert calls[-1] == (tmp_path, {"eval": {"questions": 7, "unsafe_code": True}})
    assert call("eval", tmp_path, "--no-write", "--questions", "7").exit_code == 0
    assert calls[-1] == (tmp_path, {"eval": {"questions": 7, "write": False}})
