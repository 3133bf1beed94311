"""Time as a host tells it: deadlines are moments of a clock, so that what waits for them is tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return seconds since some moment; never less than before."""
        ...


class MonotonicClock:
    """The clock of a real peer: the machine's own, which nobody sets back."""

    def now(self) -> float:
        """See :meth:`Clock.now`."""
        return time.monotonic()
