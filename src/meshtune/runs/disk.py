"""Atomic file writes, and file-system errors in one sentence.

A file is written under a temporary name, synced and renamed. So a crash, a full disk or Ctrl+C leaves the old file or
the new one, and a reader never sees half a file. Unfinished files of killed processes are deleted later.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshtune.errors import UserError
from meshtune.files import shown_path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PART = re.compile(r"\..+\.part")
_PID = re.compile(r".*\.(\d+)-[0-9a-f]+\.part")


def replace_file(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write the concatenated ``parts`` as the new content of ``file``.

    Raises:
        UserError: there is no space, or the folder is not writable.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with disk_errors(file.parent):
            with part.open("xb") as out:
                for one in parts:
                    out.write(one)
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, file)
            sync_folder(file.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_part(name: str) -> bool:
    """Return whether a file of this name is an unfinished copy."""
    return _PART.fullmatch(name) is not None


def sweep(folder: Path) -> None:
    """Delete the unfinished copies of dead processes."""
    for file in folder.iterdir():
        if is_part(file.name):
            match = _PID.fullmatch(file.name)
            if match is None or not alive(int(match[1])):
                with suppress(OSError):
                    file.unlink()


def alive(pid: int) -> bool:
    """Return whether a process with this id runs on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except OSError:
        return True
    return True


@contextmanager
def disk_errors(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn file-system errors into one sentence about ``path``; ``remedy`` replaces the default advice."""
    try:
        yield
    except OSError as error:
        shown = shown_path(path)
        if error.errno in _FULL:
            advice = "the run is resumable, free some space and repeat the same command"
            raise UserError(f"no space left for {shown}: {advice}") from error
        advice = remedy or "the run is resumable, make it writable again and repeat the same command"
        raise UserError(f"{shown} cannot be written ({error.strerror or error}): {advice}") from error


def read_bytes(file: Path) -> bytes:
    """Return the content of ``file``.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror or error}): check its permissions and its disk"
        ) from error
