"""The run folder given on the command line."""

from __future__ import annotations

from pathlib import Path

from meshtune.errors import UserError


def folder_named(text: str | Path) -> Path:
    """Return the folder that ``--out`` names.

    Raises:
        UserError: it is empty, for example because a shell variable is not set.
    """
    if not str(text).strip():
        raise UserError("--out is empty: name a folder")
    return Path(text)
