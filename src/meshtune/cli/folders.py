"""The folder that is named on the command line to run in."""

from __future__ import annotations

from pathlib import Path

from meshtune.errors import UserError


def folder_named(text: str | Path) -> Path:
    """Return the folder that ``--out`` names.

    Raises:
        UserError: it names none, as a variable of the shell does that is not set.
    """
    if not str(text).strip():
        raise UserError("--out is empty: name a folder")
    return Path(text)
