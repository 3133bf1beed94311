"""The clock of a host. Deadlines are read from a clock object, so that timeouts can be tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock."""

    def now(self) -> float:
        """Return seconds since an arbitrary origin; never decreases."""
        ...


class MonotonicClock:
    """The clock of a real peer: the machine's own monotonic clock."""

    def now(self) -> float:
        """See :meth:`Clock.now`."""
        return time.monotonic()
