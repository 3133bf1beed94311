"""Frames put together by hand, with a right digest around whatever is inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import xxhash

PREFIX = 13
"""Magic, version and digest."""


def sealed(block: bytes, version: int = 3) -> bytes:
    """Return ``block`` in a frame whose digest is right."""
    start = b"MTUN" + bytes([version])
    return start + xxhash.xxh3_64_digest(start + block) + block


def frame(header: Mapping[str, Any] | bytes, data: bytes = b"", version: int = 3) -> bytes:
    """Return a frame with ``header``, which may be anything, and ``data`` behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return sealed(struct.pack("<Q", len(text)) + text + data, version)


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a frame and the tensors' bytes behind it."""
    (size,) = struct.unpack("<Q", data[PREFIX : PREFIX + 8])
    return json.loads(data[PREFIX + 8 : PREFIX + 8 + size]), data[PREFIX + 8 + size :]
