"""The folder that a run is to be written to: what is wrong with it is said before anything is loaded or made."""

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
"""Characters of a folder's path: the files in it need some too."""


def check_out(path: Path) -> None:
    """Make sure that a run can be written to ``path``: begun there, or gone on with.

    Raises:
        UserError: its name cannot be one, it is a file, it holds something else, or it cannot be made or written.
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
            os.lstat(path)  # says whether there may be such a name
        with tempfile.TemporaryDirectory(prefix=".meshtune-", dir=_standing(path)):
            pass  # the one sure way to know that it can be written
    except OSError as error:
        raise UserError(f"`out` {shown} cannot be written ({reason(error)}): name another folder") from error


def the_run(path: Path) -> None:
    """Make sure that ``path`` holds a run.

    Raises:
        UserError: it holds none; names the run beside it that is called most like it, and ``meshtune demo``.
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
    """Return the nearest folder of ``path`` that is there."""
    at = path.absolute()
    while not at.exists() and at != at.parent:
        at = at.parent
    return at
