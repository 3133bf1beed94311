"""Masks: what is kept, how a group votes, how a mask travels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshtune.adapter.mask import collision_rate, pack, top_positions, unpack, vote
from meshtune.errors import MeshtuneError

SIZES = [9, 16, 7]


@st.composite
def masks(draw: st.DrawFn) -> list[np.ndarray]:
    return [np.array(sorted(draw(st.sets(st.integers(0, size - 1)))), dtype=np.int64) for size in SIZES]


@given(arrays(np.float32, st.integers(1, 40), elements=st.integers(0, 5).map(float)), st.integers(0, 45))
def test_top_positions_are_a_stable_sorts(score: np.ndarray, count: int) -> None:
    """Largest first, ties by the lower index, then ascending."""
    expected = np.sort(np.argsort(-score, kind="stable")[:count])
    np.testing.assert_array_equal(top_positions(score, count), expected)
    np.testing.assert_array_equal(top_positions(torch.from_numpy(score), count), expected)


@given(masks())
def test_packing_is_undone(mask: list[np.ndarray]) -> None:
    bitmap = pack(mask, SIZES)
    assert bitmap.size == 4  # 32 positions
    for mine, back in zip(mask, unpack(bitmap, SIZES), strict=True):
        np.testing.assert_array_equal(mine, back)


def test_a_damaged_bitmap_is_refused() -> None:
    with pytest.raises(MeshtuneError, match="does not fit"):
        unpack(np.zeros(3, dtype=np.uint8), SIZES)
    with pytest.raises(MeshtuneError, match="beyond its end"):
        unpack(np.array([0, 1], dtype=np.uint8), [9])


@given(st.lists(masks(), min_size=1, max_size=5), st.randoms())
def test_a_vote_by_brute_force(members: list[list[np.ndarray]], random: object) -> None:
    """Most votes win; of equals those of the lowest id, then the lower position; the order of arrival is nothing."""
    ballots = list(enumerate(members))
    random.shuffle(ballots)  # type: ignore[attr-defined]
    agreed = vote(ballots, SIZES)
    for layer, size in enumerate(SIZES):
        first = set(members[0][layer].tolist())
        votes = {p: sum(p in m[layer] for m in members) for p in range(size)}
        order = sorted(range(size), key=lambda p: (-votes[p], p not in first, p))
        assert agreed[layer].tolist() == sorted(order[: len(first)])


@given(st.lists(masks(), min_size=1, max_size=4))
def test_collisions_by_counting(members: list[list[np.ndarray]]) -> None:
    used = [(layer, int(p)) for mask in members for layer, positions in enumerate(mask) for p in positions]
    assert collision_rate(members, SIZES) == sum(used.count(p) >= 2 for p in set(used)) / sum(SIZES)


def test_a_vote_may_keep_as_many_positions_as_the_smallest_mask() -> None:
    """Of masks of 3, 2 and 2 positions the first with 2 counts: of 1 and 3, with two votes each, and 0, its own."""
    masks = [(0, [np.array([1, 2, 3])]), (1, [np.array([0, 3])]), (2, [np.array([1, 4])])]
    assert vote(masks, [5])[0].size == 3
    assert vote(masks, [5], least=True)[0].tolist() == [1, 3]
    split = [(0, [np.array([0, 1]), np.array([2])]), (1, [np.array([3]), np.array([0])])]  # 3 positions and 2
    assert [mask.tolist() for mask in vote(split, [4, 4], least=True)] == [[3], [0]]
