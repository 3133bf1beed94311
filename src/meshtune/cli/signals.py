"""SIGTERM and SIGHUP end a process like Ctrl+C: finished work is kept, and the last line says how to resume."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes:
        code: the exit code, 128 plus the signal's number: 143 after SIGTERM, 129 after SIGHUP.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise :class:`Stopped` when a signal asks the process to end; ignored signals, as under nohup, stay ignored."""
    main = threading.current_thread() is threading.main_thread()  # other threads may not set signal handlers
    ours = [number for number in STOPPING if main and signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, _stop)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
