"""Folders that are named on the command line: one to begin a run in, and one that holds a run."""

from __future__ import annotations

from pathlib import Path

from meshtune.errors import UserError
from meshtune.files import no_run


def folder_named(text: str | Path) -> Path:
    """Return the folder that ``--out`` names.

    Raises:
        UserError: it names none, as a variable of the shell does that is not set.
    """
    if not str(text).strip():
        raise UserError("--out is empty: name a folder")
    return Path(text)


def check_run(path: Path) -> None:
    """Make sure that there is a folder ``path``.

    Raises:
        UserError: there is none; names the one beside it that is called most like it.
    """
    if not path.is_dir():
        raise no_run(path)
