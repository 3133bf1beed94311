"""The list of methods."""

from __future__ import annotations

from typer.testing import CliRunner

from meshtune.cli.main import app
from meshtune.methods.registry import METHODS


def test_every_method_is_listed_once_with_what_it_is() -> None:
    shown = CliRunner().invoke(app, ["methods"])
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    rows = [line for line in lines if line.split()[:1] and line.split()[0] in METHODS]
    assert [row.split()[0] for row in rows] == list(METHODS)
    for row, text in zip(rows, METHODS.values(), strict=True):  # the rest may be wrapped to the width
        assert row.split()[1:4] == text.split()[:3]
    whole = " ".join(shown.stdout.split())
    assert METHODS["ffa"] in whole
    assert "what it is" in whole
