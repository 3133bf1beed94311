"""Read files named by the user: regular files only, of bounded size, every fault in one sentence.

A path in a configuration may be a folder, an endless device (``/dev/zero``) or a pipe without a writer.
"""

from __future__ import annotations

import itertools
import os
import shlex
import stat
from pathlib import Path

from meshtune.errors import UserError
from meshtune.printable import printable

SHOWN = 200
"""Characters of a path that are shown in an error."""
LOOKED_AT = 1000
"""How many names in a folder are searched for the nearest to a mistyped one."""


def check_file(path: Path, most: int, what: str) -> None:
    """Make sure that ``path`` is a regular file of at most ``most`` bytes.

    Args:
        path: the file.
        most: bytes.
        what: what errors call it, for example ``the configuration file``.

    Raises:
        UserError: it is missing, not a regular file, too long, or not readable.
    """
    shown = shown_path(path)
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and not os.access(path, os.R_OK):
            raise PermissionError(0, "Permission denied")
    except FileNotFoundError as error:
        near = nearest(path)
        hint = f"did you mean {shown_path(near)}?" if near else "check the path"
        raise UserError(f"there is no {what} {shown}: {hint}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"{what} {shown} cannot be read ({reason(error)}): check the path") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise UserError(f"{what} {shown} is {kind}: name a file")
    if found.st_size > most:
        raise UserError(f"{what} {shown} has {found.st_size:,} bytes, the limit is {most:,}: name a smaller file")


def read_file(path: Path, most: int, what: str) -> bytes:
    """Return the content of ``path``; see :func:`check_file`."""
    check_file(path, most, what)
    try:
        with path.open("rb") as file:
            held = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{what} {shown_path(path)} cannot be read ({reason(error)}): check the path") from error
    if len(held) > most:  # files in /proc report no size until they are read
        raise UserError(f"{what} {shown_path(path)} has more than {most:,} bytes: name a smaller file")
    return held


def nearest(path: Path) -> Path | None:
    """Return the sibling of ``path`` with the most similar name, if any is close."""
    import difflib  # only on the way to an error

    try:
        with os.scandir(path.parent) as found:
            names = [entry.name for entry in itertools.islice(found, LOOKED_AT)]
    except (OSError, ValueError):
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return path.parent / close[0] if close else None


def shown_path(path: Path | str) -> str:
    """Return ``path`` as it is shown in an error."""
    return printable(str(path), SHOWN)


def resuming(path: Path | str) -> str:
    """Return the shell command that resumes the run in the folder ``path``."""
    return f"meshtune run --out {shlex.quote(str(path))}"


def no_run(path: Path) -> UserError:
    """Return the error for a missing run folder ``path``; it names the most similar sibling."""
    near = nearest(path)
    hint = (
        f"did you mean {shown_path(near)}?" if near and near.is_dir() else "give the folder that meshtune run printed"
    )
    return UserError(f"there is no run {shown_path(path)}: {hint}")


def reason(error: BaseException) -> str:
    """Return why a file could not be read, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
