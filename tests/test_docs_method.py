"""What docs/method.md says computes an equation exists, and every equation that code cites is on that page."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from meshtune.methods.registry import CATALOGUE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(meshtune\.[\w.]+)`", PAGE)))


def find(name: str) -> object:
    """Import the longest part of ``name`` that is a module and look up the rest in it."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_computes_an_equation_exists(name: str) -> None:
    assert find(name) is not None


def test_every_method_is_on_the_page() -> None:
    assert [name for name in CATALOGUE if f"`{name}`" not in PAGE] == []


def test_every_equation_that_code_cites_is_on_the_page() -> None:
    cited: set[int] = set()
    for file in (ROOT / "src").rglob("*.py"):
        for first, rest in re.findall(r"eq\. (\d+)((?:(?:, | to | and )\d+)*)", file.read_text(encoding="utf-8")):
            cited |= {int(first), *(int(n) for n in re.findall(r"\d+", rest))}
    cells = " ".join(re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE))
    assert sorted(cited - {int(n) for n in re.findall(r"\d+", cells)}) == []


def test_every_section_that_code_cites_is_on_the_page() -> None:
    cited: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        for words in re.findall(r"method\s+sections? ([\d, and]*\d)", file.read_text(encoding="utf-8")):
            cited |= set(re.findall(r"\d+", words))
    assert {number for number in cited if f"\n## {number}. " not in PAGE} == set()
