"""Verdicts kept on disk: found again under their own key alone, and no error where they cannot be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from meshtune.model.paths import PLAINEST, Paths
from meshtune.model.probes.probe_cache import folder, key_of, recall, remember


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MESHTUNE_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


VERDICTS = [Paths(), PLAINEST, Paths(read="padded", cap=3.0, reach=77, left_out=("a.b",))]


@pytest.mark.parametrize("paths", VERDICTS)
def test_a_verdict_is_found_under_its_key_and_no_other(paths: Paths, cache: Path) -> None:
    assert recall("one") is None
    remember("one", paths)
    assert recall("one") == paths
    assert recall("two") is None
    remember("one", Paths(reach=5))
    assert recall("one") == Paths(reach=5)
    assert [file.name for file in cache.iterdir()] == ["probe-one.json"]  # and no temporary file beside it


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"key": "one"}', '{"key": "one", "paths": {}}', "[" * 99_999]
)
def test_a_file_that_cannot_be_read_is_no_verdict(content: str, cache: Path) -> None:
    remember("one", Paths())
    (cache / "probe-one.json").write_text(content)
    assert recall("one") is None
    (cache / "probe-one.json").write_bytes(b"\xff\xfe")
    assert recall("one") is None


def test_a_file_under_another_name_or_beyond_bounds_is_no_verdict(cache: Path) -> None:
    remember("one", Paths())
    text = (cache / "probe-one.json").read_text()
    (cache / "probe-two.json").write_text(text)
    assert recall("two") is None
    (cache / "probe-one.json").write_text(text + " " * 2**20)
    assert recall("one") is None


def test_where_nothing_can_be_written_nothing_is_kept(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    remember("one", Paths())
    assert recall("one") is None


def test_the_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert folder() == tmp_path / "kept"
    monkeypatch.delenv("MESHTUNE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert folder() == Path("/somewhere/meshtune")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert folder() == Path("/home/me/.cache/meshtune")


class Model(nn.Module):
    """A model with a configuration, as transformers' have one."""

    def __init__(self, width: int = 2, scale: float = 1.0, attention: str = "sdpa") -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)
        self.config: Any = SimpleNamespace(
            to_json_string=lambda use_diff: f'{{"scale": {scale}}}', _attn_implementation=attention
        )


def test_a_key_tells_everything_apart_that_a_verdict_depends_on() -> None:
    assert key_of(Model(), "digest", False, False) == key_of(Model(), "digest", False, False)
    others = [
        key_of(Model(), "digest", False, False),
        key_of(Model(), "other", False, False),
        key_of(Model(), "digest", True, False),
        key_of(Model(), "digest", False, True),
        key_of(Model(width=3), "digest", False, False),
        key_of(Model(scale=2.0), "digest", False, False),
        key_of(Model(attention="eager"), "digest", False, False),
        key_of(Model().to(torch.bfloat16), "digest", False, False),
    ]
    assert len(set(others)) == len(others)


def test_verdicts_of_another_version_count_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(Model(), "digest")
    monkeypatch.setattr("meshtune.model.probes.probe_cache.version", lambda name: f"{name} of tomorrow")
    assert key_of(Model(), "digest") != before
