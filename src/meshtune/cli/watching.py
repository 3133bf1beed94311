"""Shows what a run is doing: a live view on a terminal, plain lines elsewhere. Both write to stderr.

The run only reports (:class:`meshtune.runs.observer.Observer`); nothing here affects it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from meshtune.cli.progress import Lines

if TYPE_CHECKING:
    from meshtune.cli.live import Live
    from meshtune.runs.observer import Observer


@contextmanager
def watch(stream: TextIO | None = None) -> Iterator[Observer]:
    """Yield an observer that suits ``stream``, by default stderr; on exit it clears what it drew."""
    target = stream or sys.stderr
    if target.isatty():
        from meshtune.cli.live import Live

        with Live(target) as live, _noting(live):
            yield live
    else:
        lines = Lines(target)
        with _noting(lines):
            yield lines


@contextmanager
def _noting(observer: Lines | Live) -> Iterator[None]:
    """Add a note on the current phase to any error that passes through."""
    try:
        yield
    except Exception as error:
        if observer.doing:
            error.add_note(observer.doing)
        raise
