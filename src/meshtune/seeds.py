"""Named random streams: everything random is a function of the run's seed and the name of its purpose.

A stream is keyed by what it is for (device, purpose, round), never by when it is asked for, so the order in which
devices are processed, a resumed run and another engine all draw the same numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key(seed: int, *names: str | int) -> int:
    """Return the 128-bit key of the stream called ``names`` under ``seed``."""
    text = "\x1f".join([str(int(seed)), *(f"{type(n).__name__}:{n}" for n in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a generator (Philox, counter-based) for the purpose ``names`` under ``seed``.

    Args:
        seed: the run's seed.
        names: the purpose, for example ``("device", 3, "batches", round)``; the same names give the same numbers.
    """
    return np.random.Generator(np.random.Philox(key=key(seed, *names)))
