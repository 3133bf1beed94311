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
    for row in re.findall(r"^\| .* \| (`\w+\.\w+`.*) \|$", PAGE, re.MULTILINE):
        for module, name in re.findall(r"`(\w+)\.(\w+)`", row):
            if module[0].islower():
                assert hasattr(importlib.import_module(f"meshtune.topology.{module}"), name)
