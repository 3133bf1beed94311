"""The output folder of a run: checked before anything is loaded or created."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from contextlib import suppress
from pathlib import Path

from meshtune.errors import UserError
from meshtune.files import nearest, reason, shown_path
from meshtune.runs.store import RunStore

LONGEST = 1000
"""The most characters of a folder's path; the files in it need some too."""


def check_out(path: Path) -> None:
    """Make sure that a run can be written to ``path``: started there, or resumed.

    Raises:
        UserError: the name is invalid, it is a file, it holds something else, or it cannot be created or written.
    """
    shown = shown_path(path)
    text = str(path)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise UserError(f"`out` {shown} has a control character, or bytes that are not UTF-8: name another folder")
    if len(text) > LONGEST:
        raise UserError(f"`out` {shown} has {len(text):,} characters: name a folder of at most {LONGEST:,}")
    try:
        if not RunStore.exists(path):
            RunStore.check_free(path)
        with suppress(FileNotFoundError):
            os.lstat(path)  # fails if the name is invalid
        with tempfile.TemporaryDirectory(prefix=".meshtune-", dir=_standing(path)):
            pass  # the only sure way to know that it is writable
    except OSError as error:
        raise UserError(f"`out` {shown} cannot be written ({reason(error)}): name another folder") from error


def the_run(path: Path) -> None:
    """Make sure that ``path`` holds a run.

    Raises:
        UserError: it holds none; names the run beside it with the most similar name, and ``meshtune demo``.
    """
    if RunStore.exists(path):
        return
    near = nearest(path)
    if near is not None and RunStore.exists(near):
        hint = f"did you mean {shown_path(near)}?"
    else:
        hint = "name a FILE.yaml to start one there, or see meshtune demo"
    raise UserError(f"`out` {shown_path(path)} holds no run to resume: {hint}")


def _standing(path: Path) -> Path:
    """Return the nearest existing parent folder of ``path``."""
    at = path.absolute()
    while not at.exists() and at != at.parent:
        at = at.parent
    return at
