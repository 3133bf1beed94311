"""The list of models: what is at hand in a folder, and which architectures are tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from architectures import ARCHITECTURES
from meshtune.cli.main import app
from meshtune.cli.models import LONGEST, TESTED, at_hand


def listed() -> str:
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == 0
    return done.stdout


def test_models_at_hand_are_listed_with_kind_and_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "two.gguf").write_bytes(b"x" * 1500)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "config.json").write_text("[" * 200_000)
    (tmp_path / "gone.gguf").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MESHTUNE_MODELS", str(tmp_path))
    rows = [line.split() for line in listed().splitlines() if "$MESHTUNE_MODELS/" in line]
    assert rows == [
        ["$MESHTUNE_MODELS/broken", "unreadable", "config.json", "1", "B"],
        ["$MESHTUNE_MODELS/deep", "unreadable", "config.json", "200", "kB"],
        ["$MESHTUNE_MODELS/one", "llama", "23", "B"],
        ["$MESHTUNE_MODELS/two.gguf", "GGUF", "1.50", "kB"],
    ]
    monkeypatch.setenv("MESHTUNE_MODELS", "")
    assert "In $MESHTUNE_MODELS" not in listed()


def test_a_folder_without_models_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setenv("MESHTUNE_MODELS", str(folder))
        assert "There is no model folder and no .gguf file in it." in listed()


def test_sizes_are_those_of_a_models_own_files_and_names_are_sorted(tmp_path: Path) -> None:
    for name, facts in {"b": '{"model_type": "gpt2"}', "a": "{}", "list": "[]", "long": " " * LONGEST + "{}"}.items():
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "weights").write_bytes(b"x" * 5000)  # not the model's own
        (tmp_path / name / "config.json").write_text(facts)
    (tmp_path / "b" / "weights").write_bytes(b"x" * 978)
    assert at_hand(tmp_path) == [
        ["$MESHTUNE_MODELS/a", "?", "2 B"],
        ["$MESHTUNE_MODELS/b", "gpt2", "1.00 kB"],
        ["$MESHTUNE_MODELS/list", "unreadable config.json", "2 B"],
        ["$MESHTUNE_MODELS/long", "unreadable config.json", "1.05 MB"],
    ]


def test_the_architectures_that_are_listed_are_those_that_are_tested() -> None:
    assert [name.removesuffix("_text") for name in TESTED] == list(ARCHITECTURES)
