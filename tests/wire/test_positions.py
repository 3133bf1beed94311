"""A mask's bytes hold its positions, are never much above a bitmap's, and are near the entropy of a random mask."""

from __future__ import annotations

import contextlib
import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import PayloadError
from meshtune.wire.positions import decode_positions, encode_positions


@st.composite
def masks(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    total = draw(st.integers(0, 3000))
    if not total:
        return np.empty(0, dtype=np.int64), 0
    return np.array(sorted(draw(st.sets(st.integers(0, total - 1), max_size=200))), dtype=np.int64), total


@settings(deadline=None)
@given(masks())
def test_positions_come_back_and_cost_no_more_than_a_bitmap(mask: tuple[np.ndarray, int]) -> None:
    used, total = mask
    data = encode_positions(used, total)
    assert decode_positions(data, total).tolist() == used.tolist()
    assert len(data) <= (total + 7) // 8 + 13


def test_every_small_mask_comes_back() -> None:
    for total in range(9):
        for bits in itertools.product((0, 1), repeat=total):
            used = np.flatnonzero(bits).astype(np.int64)
            assert decode_positions(encode_positions(used, total), total).tolist() == used.tolist()


@pytest.mark.parametrize("gap", [0, 1, 254, 255, 256, 509, 510, 511, 70_000])
def test_long_gaps_by_hand(gap: int) -> None:
    used = np.array([gap, 2 * gap + 1], dtype=np.int64)
    assert decode_positions(encode_positions(used, 200_000), 200_000).tolist() == used.tolist()


@pytest.mark.parametrize("density", [0.01, 0.05, 0.1, 0.3, 0.5])
def test_a_random_mask_costs_its_entropy(density: float) -> None:
    total = 200_000
    used = np.flatnonzero(np.random.default_rng(0).random(total) < density).astype(np.int64)
    p = used.size / total
    bound = -total * (p * math.log2(p) + (1 - p) * math.log2(1 - p)) / 8
    assert bound < len(encode_positions(used, total)) < 1.04 * bound + 100


def test_a_gap_mask_put_together_by_hand_is_read() -> None:
    """3, then 300 unused ones (255 + 45), then the one behind it."""
    data = struct.pack("<BIII", 2, 1000, 3, 4) + bytes([3, 255, 45, 0])
    assert decode_positions(data, 1000).tolist() == [3, 304, 305]
    bitmap = struct.pack("<BIII", 0, 10, 2, 2) + bytes([0b10000000, 0b01000000])
    assert decode_positions(bitmap, 10).tolist() == [0, 9]


@pytest.mark.parametrize(
    "data, total, part",
    [
        (b"", 0, "before its head"),
        (struct.pack("<BIII", 0, 9, 0, 2) + bytes(2), 10, "9 positions came, expected 10"),
        (struct.pack("<BIII", 4, 8, 0, 1) + bytes(1), 8, "not part of the format"),
        (struct.pack("<BIII", 0, 8, 9, 1) + bytes(1), 8, "not part of the format"),
        (struct.pack("<BIII", 0, 8, 0, 1 << 31) + bytes(1), 8, "do not fit"),
        (struct.pack("<BIII", 3, 8, 1, 1 << 31) + bytes(1), 8, "do not fit"),
        (struct.pack("<BIII", 0, 8, 0, 1) + bytes(2), 8, "do not fit"),
        (struct.pack("<BIII", 0, 6, 1, 1) + bytes([1]), 6, "beyond its end"),
        (struct.pack("<BIII", 0, 8, 2, 1) + bytes([1]), 8, "do not match its head"),
        (struct.pack("<BIII", 2, 8, 1, 1) + bytes([8]), 8, "do not match its head"),
        (struct.pack("<BIII", 2, 600, 1, 2) + bytes([3, 255]), 600, "within a gap"),
        (struct.pack("<BIII", 3, 8, 1, 1) + bytes([8]), 8, "damaged"),
    ],
)
def test_damaged_masks_are_refused_with_a_reason(data: bytes, total: int, part: str) -> None:
    with pytest.raises(PayloadError, match=part):
        decode_positions(data, total)


@pytest.mark.parametrize("positions", [[3, 3], [4, 3], [-1], [10]])
def test_what_is_no_mask_is_not_sent(positions: list[int]) -> None:
    with pytest.raises(PayloadError, match="ascending"):
        encode_positions(np.array(positions), 10)


@settings(max_examples=200, deadline=None)
@given(masks(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_random_damage_raises_nothing_else(mask: tuple[np.ndarray, int], changes: list[tuple[int, int]]) -> None:
    used, total = mask
    broken = bytearray(encode_positions(used, total))
    for place, value in changes:
        broken[place % len(broken)] = value
    with contextlib.suppress(PayloadError):
        found = decode_positions(bytes(broken), total)
        assert encode_positions(found, total)
