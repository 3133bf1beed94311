"""The engine names arguments and settings, the command line its options."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from meshtune.cli.flags import in_flags

SOURCE = Path(__file__).parents[2] / "src" / "meshtune"
COMMANDS = ("meshtune run --out ", "meshtune plan FILE.yaml --why DEVICE")
"""Shell commands that are told as such, to be pasted."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`tokens` 9 leaves no room", "--tokens 9 leaves no room"),
        ("in another folder (`out`) with", "in another folder (--out) with"),
        ("`density_from` runs/a: it has", "--density-from runs/a: it has"),
        ("`overrides` x is not key=value", "--set x is not key=value"),
        ("the setting `train.lr=a b`: give", "--set train.lr=a b: give"),
        ("with the setting `a.b=1` and the setting `c=[1, 2]`", "with --set a.b=1 --set c=[1, 2]"),
        ("do this and the setting `a.b=1`", "do this and --set a.b=1"),
        ("pass `token=True`, or `other`, `out", "pass `token=True`, or `other`, `out"),
    ],
)
def test_arguments_become_options(text: str, shown: str) -> None:
    assert in_flags(text) == shown


def test_the_engine_names_no_option() -> None:
    """Docstrings speak to whoever reads the source; all other texts may be shown to users."""
    found = set()
    for file in SOURCE.rglob("*.py"):
        if file.is_relative_to(SOURCE / "cli"):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                text = node.value
                for command in COMMANDS:
                    text = text.replace(command, "")
                if re.search(r"(?<![\w-])--[a-z]", text):
                    found.add((str(file.relative_to(SOURCE)), node.value))
    assert found == set()


def test_every_option_that_the_engine_means_is_one() -> None:
    """Every argument that errors name becomes an option that some verb has."""
    from typer.main import get_command

    from meshtune.cli.flags import _OPTIONS
    from meshtune.cli.main import app

    known = {option for verb in get_command(app).commands.values() for param in verb.params for option in param.opts}
    assert set(_OPTIONS.values()) <= known
