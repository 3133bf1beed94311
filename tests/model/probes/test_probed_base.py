"""A base of a model: probed once, and read in ways that were found right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from architectures import any_tiny
from meshtune.model.probes import probed_base
from meshtune.model.probes.probed_base import open_base


def test_a_verdict_is_kept_and_a_damaged_or_unwritable_one_is_found_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []
    probe = probed_base.probe
    monkeypatch.setattr(probed_base, "probe", lambda *args: probed.append(1) or probe(*args))
    monkeypatch.setenv("MESHTUNE_CACHE", str(tmp_path / "kept"))
    first = open_base(any_tiny("bamba"), None, "first").paths
    assert open_base(any_tiny("bamba"), None, "second").paths == first
    assert len(probed) == 1
    open_base(any_tiny("bamba").double(), None, "another type")
    assert len(probed) == 2
    (*_, file) = sorted((tmp_path / "kept").iterdir())
    whole = file.read_text()
    for content in (
        "",
        "[" * 100_000,
        "{}",
        whole[:40],
        whole.replace("padded", "sideways"),
        whole.replace("rue", "1"),
    ):
        for kept in (tmp_path / "kept").iterdir():
            kept.write_text(content)
        probed.clear()
        assert open_base(any_tiny("bamba"), None, "again").paths == first
        assert len(probed) == 1
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("MESHTUNE_CACHE", str(tmp_path / "no folder"))
    assert open_base(any_tiny("bamba"), None, "nowhere").paths == first


def test_verdicts_differ_by_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal weights, but another scale in the configuration."""
    monkeypatch.setenv("MESHTUNE_CACHE", str(tmp_path))
    scales = [open_base(any_tiny("granite", logits_scaling=s), None, "granite").paths.scale for s in (4.0, 2.0)]
    assert scales == [0.25, 0.5]
    assert len([json.loads(file.read_text()) for file in tmp_path.iterdir()]) == 2
