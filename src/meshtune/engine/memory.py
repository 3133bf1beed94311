"""The process's largest resident size, on systems that tell it."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None on Windows, which does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
