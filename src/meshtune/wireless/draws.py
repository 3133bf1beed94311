"""Random numbers for pairs of integers (a link, a device and its leg), in any order, a million at a time.

A stream per link would take seconds for a million links. With one stream for all, a link's numbers would change
whenever another link appears. So each pair is the counter of a counter-based generator, Philox4x32 with ten rounds
(Salmon et al., SC 2011), keyed by :func:`meshtune.seeds.key`: one block of 128 random bits per pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshtune.seeds import key
from meshtune.wireless.arrays import Floats

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_CHUNK = 1 << 14  # pairs at a time, so that their words stay in the cache


def philox(counter: NDArray[np.uint64], key0: int, key1: int) -> NDArray[np.uint64]:
    """Return Philox4x32-10's block of each counter.

    Args:
        counter: (4, n), 32-bit words.
        key0: 32-bit word of the key.
        key1: 32-bit word of the key.

    Returns:
        (4, n), 32-bit words.
    """
    c0, c1, c2, c3 = counter
    for step in range(10):
        k0 = np.uint64((key0 + step * _WEYL[0]) & 0xFFFFFFFF)
        k1 = np.uint64((key1 + step * _WEYL[1]) & 0xFFFFFFFF)
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (right >> _HALF) ^ c1 ^ k0, right & _LOW, (left >> _HALF) ^ c3 ^ k1, left & _LOW
    return np.stack([c0, c1, c2, c3])


def uniforms(seed: int, *names: str | int, first: ArrayLike, second: ArrayLike) -> Floats:
    """Return two uniform numbers in the open interval (0, 1) for every pair.

    Args:
        seed: the run's seed.
        names: the purpose, as for :func:`meshtune.seeds.stream`.
        first: (n,) integers from 0 to 2^32 - 1.
        second: (n,) the same; (first, second) and (second, first) are different pairs.

    Returns:
        (2, n)
    """
    a, b = np.broadcast_arrays(np.asarray(first, dtype=np.uint64), np.asarray(second, dtype=np.uint64))
    whole = key(seed, *names)
    words = whole & 0xFFFFFFFF, (whole >> 32) & 0xFFFFFFFF
    rest = (whole >> 64) & 0xFFFFFFFF, whole >> 96
    found = np.empty((2, a.size))
    for start in range(0, a.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        counter = np.empty((4, a[part].size), dtype=np.uint64)
        counter[0], counter[1], counter[2], counter[3] = a[part], b[part], *rest
        w0, w1, w2, w3 = philox(counter, *words)
        # 52 of 64 bits: with one more, the largest number would round to 1.
        for row, high, low in ((0, w0, w1), (1, w2, w3)):
            found[row, part] = (((high << _HALF) | low) >> np.uint64(12)) + 0.5
    found *= 2.0**-52
    return found


def normals(seed: int, *names: str | int, first: ArrayLike, second: ArrayLike) -> Floats:
    """Return one standard normal number for every pair, (n,); arguments as in :func:`uniforms` (Box-Muller)."""
    u, v = uniforms(seed, *names, first=first, second=second)
    found: Floats = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    return found
