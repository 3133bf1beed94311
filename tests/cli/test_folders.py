"""The folder that ``--out`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshtune.cli.folders import folder_named
from meshtune.errors import UserError


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0"])
def test_a_variable_of_the_shell_that_is_not_set_names_no_folder(text: str) -> None:
    """``--out "$RUNS"`` would otherwise be the folder one stands in."""
    with pytest.raises(UserError, match=r"^--out is empty: name a folder$"):
        folder_named(text)


@pytest.mark.parametrize("text", [".", "runs/one", "a b", Path("given")])
def test_a_name_is_taken_as_it_is(text: str | Path) -> None:
    assert folder_named(text) == Path(text)
