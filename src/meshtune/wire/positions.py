"""A mask as bytes: a bitmap or the gaps between its positions, entropy-coded, whichever is smallest.

A mask over n positions, each used with probability p, costs at least n H(p) bits, H the binary entropy; a bitmap costs
n. Gaps between used positions are nearly geometric, and zstd's Huffman stage codes them close to that bound.
docs/payload.md shows the bytes.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from meshtune.errors import ForeignError, MalformedError
from meshtune.wire.codec import expand, shrink

_HEAD = struct.Struct("<BIII")  # form, total positions, positions in use, bytes before compression
_BITMAP, _GAPS, _SMALL = 0, 2, 1  # form: one of the first two, plus the third if compressed
_MORE = 255  # a gap byte that means: add 255 and continue with the next byte


def encode_positions(used: NDArray[np.int64], total: int) -> bytes:
    """Return sorted positions below ``total`` as bytes: at most 13 more than those of a bitmap.

    Raises:
        PayloadError: a position is out of place, or there are more than 2^32 - 1 of them.
    """
    inside = used.size == 0 or (used[0] >= 0 and used[-1] < total)
    if not 0 <= total < 1 << 32 or not inside or (used[1:] <= used[:-1]).any():
        raise MalformedError(f"a mask must be ascending positions from 0 to {total - 1}, each once")
    bits = np.zeros(total, dtype=np.uint8)
    bits[used] = 1
    ways: list[tuple[int, int, bytes]] = []
    for form, plain in ((_BITMAP, np.packbits(bits)), (_GAPS, _gaps(used))):
        ways += [(form, plain.size, plain.tobytes()), (form + _SMALL, plain.size, shrink(plain))]
    form, size, body = min(ways, key=lambda way: len(way[2]))
    return _HEAD.pack(form, total, used.size, size) + body


def decode_positions(data: bytes, total: int) -> NDArray[np.int64]:
    """Return the sorted positions below ``total`` that :func:`encode_positions` wrote.

    Raises:
        PayloadError: the bytes are damaged, or belong to a mask of another size.
    """
    if len(data) < _HEAD.size:
        raise MalformedError("a mask ends before its head")
    form, found, count, size = _HEAD.unpack_from(data)
    if found != total:
        raise ForeignError(f"a mask of {found} positions came, expected {total}: another model or rank")
    way, small = form & ~_SMALL, bool(form & _SMALL)
    if way not in (_BITMAP, _GAPS) or count > total:
        raise MalformedError(f"a mask of form {form} with {count} of {total} positions is not part of the format")
    # Every byte of 255 stands for that many unused positions, every other byte for a position in use.
    fits = size == (total + 7) // 8 if way == _BITMAP else count <= size <= count + (total - count) // _MORE
    body = data[_HEAD.size :]
    if not fits or (not small and len(body) != size):
        raise MalformedError("a mask's bytes do not fit its positions")
    plain = np.frombuffer(expand(body, size) if small else body, dtype=np.uint8)
    if way == _BITMAP:
        bits = np.unpackbits(plain)
        if bits[total:].any():
            raise MalformedError("a mask has positions beyond its end")
        used = np.flatnonzero(bits)
    else:
        last = plain != _MORE
        if size and not last[-1]:
            raise MalformedError("a mask ends within a gap")
        reached = np.cumsum(plain, dtype=np.int64)[last]
        used = reached + np.arange(reached.size)
    if used.size != count or (count and used[-1] >= total):
        raise MalformedError("a mask's positions do not match its head")
    return used.astype(np.int64)


def _gaps(used: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the number of unused positions before each used one as a byte, preceded by a 255 for each 255 of them."""
    gaps = np.diff(used, prepend=-1) - 1
    more = gaps // _MORE
    if not more.any():
        return gaps.astype(np.uint8)
    plain = np.full(used.size + int(more.sum()), _MORE, dtype=np.uint8)
    plain[np.cumsum(more + 1) - 1] = gaps % _MORE
    return plain
