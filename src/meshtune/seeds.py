"""Named random streams: all randomness is a function of the run's seed and the name of its purpose.

A stream is keyed by its purpose (device, purpose, round), never by when it is used. So a run draws the same numbers in
any order of devices, after a resume, and in another engine.
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
