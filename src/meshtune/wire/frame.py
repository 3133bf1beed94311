"""The frame of a message: magic, version, and a digest of everything else in it.

A receiver checks the digest before it reads anything behind it, which detects bits changed in transit: XXH3 in 64 bits
misses one damaged message in 2^64. It protects against damage, not against malice, because anybody can compute it.
What a well-formed message may say is checked in :mod:`meshtune.wire.validation`.
"""

from __future__ import annotations

import xxhash

from meshtune.errors import MalformedError

MAGIC = b"MTUN"
VERSION = 3
DIGEST = 8
"""Bytes of the digest."""

PREFIX = len(MAGIC) + 1 + DIGEST
"""Bytes before the block."""

_START = MAGIC + bytes([VERSION])


def seal(block: bytes) -> bytes:
    """Return ``block`` preceded by magic, version and digest."""
    return b"".join((_START, _digest(block), block))


def unseal(data: bytes) -> bytes:
    """Return the block of a frame.

    Raises:
        PayloadError: the bytes are not a frame, are of another version, or were changed in transit.
    """
    if data[: len(MAGIC)] != MAGIC or len(data) <= len(MAGIC):
        raise MalformedError("these bytes are not a meshtune message")
    version = data[len(MAGIC)]
    if version != VERSION:
        raise MalformedError(
            f"a message of format version {version} cannot be read, this version of meshtune reads {VERSION}: "
            "let all devices run the same version"
        )
    if len(data) < PREFIX:
        raise MalformedError("a message ends before its digest")
    block = data[PREFIX:]
    if data[len(_START) : PREFIX] != _digest(block):
        raise MalformedError("a message is damaged: its digest is not that of its content")
    return block


def _digest(block: bytes) -> bytes:
    state = xxhash.xxh3_64(_START)
    state.update(block)
    return state.digest()
