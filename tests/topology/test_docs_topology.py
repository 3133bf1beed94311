"""The example on docs/topology.md prints what the page says, and what the page names exists."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "topology.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_prints_what_the_page_says() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block("python"), {})
    assert printed.getvalue() == block("text")


def test_what_the_page_names_exists() -> None:
    """Every row of its first table says what computes something."""
    table = PAGE.partition("## What computes what")[2].partition("\n- ")[0]
    rows = re.findall(r"^\|.*\| ([^|]+) \|$", table, re.MULTILINE)[1:]
    assert len(rows) > 10
    for row in rows:
        names = re.findall(r"`(\w+)(?:\.(\w+))?`", row)
        assert names, row
        for module, name in names:
            found = importlib.import_module(f"meshtune.topology.{module}")
            assert not name or hasattr(found, name), f"{module}.{name}"
