"""One process at a time writes to a run's folder: an operating-system lock, released when its holder ends.

Readers need no lock: every file is replaced as a whole, and the manifest counts a log's finished lines.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from meshtune.errors import UserError
from meshtune.printable import printable
from meshtune.runs.checksums import parse
from meshtune.runs.disk import disk_errors, sweep
from meshtune.runs.events import Note
from meshtune.runs.observer import Observer

LOCK = ".lock"


@contextmanager
def held(folder: Path, observer: Observer) -> Iterator[None]:
    """Hold the lock of the existing ``folder`` and delete unfinished files of killed processes in it.

    If the file system has no locks, the run continues without one, and says so.

    Raises:
        UserError: another process holds it; names that process.
    """
    file = folder / LOCK
    lock = FileLock(file, timeout=0, thread_local=False)
    locked = False
    try:
        lock.acquire(blocking=False)
        locked = True
    except Timeout:
        raise UserError(f"{folder} is in use by {_holder(file)}: wait until it has ended, or stop it") from None
    except PermissionError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): name another folder") from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError):
            _check_writable(folder)
        text = f"{folder} is on a file system without locks: make sure that no other meshtune writes there"
        observer(Note(text))
    try:
        with disk_errors(folder):
            sweep(folder)
        if locked:
            _sign(file, _self())
        yield
    finally:
        if locked:
            _sign(file, "")
            lock.release()


def _check_writable(folder: Path) -> None:
    probe = folder / f"{LOCK}.{os.getpid()}.part"
    with disk_errors(folder, "name another folder"):
        probe.touch()
        probe.unlink()


def _self() -> str:
    command = " ".join(["meshtune", *sys.argv[1:]])
    started = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command, "started": started})


def _sign(file: Path, text: str) -> None:
    with suppress(OSError):  # only informative; the lock itself holds
        file.write_text(text, encoding="utf-8")


def _holder(file: Path) -> str:
    """Return the holder of the lock, as recorded by itself."""
    try:
        said = parse(file.read_bytes())
        pid, host, command, started = (printable(str(said[key]), 200) for key in ("pid", "host", "command", "started"))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return f"process {pid} on {host} ({command}), since {started}"
