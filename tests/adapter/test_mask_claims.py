"""The rule of negotiated masks: what a device proposes, and how dense it may be beside other groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.mask import top_positions
from meshtune.adapter.mask_claims import capped_counts, propose

LEVELS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n), st.lists(st.booleans(), min_size=n, max_size=n)
    )
)
"""Scores of a layer, few different ones, so that there are ties; and what is claimed of it."""


@given(st.lists(st.tuples(LEVELS, st.floats(0, 1)), min_size=1, max_size=3))
def test_a_proposal_is_the_best_of_what_is_free(layers: list[tuple[tuple[list[int], list[bool]], float]]) -> None:
    scores = [np.array(score, dtype="f4") for (score, _), _ in layers]
    claimed = [np.array(taken) for (_, taken), _ in layers]
    free = [[p for p, taken in enumerate(one.tolist()) if not taken] for one in claimed]
    counts = [int(share * len(left)) for (_, share), left in zip(layers, free, strict=True)]
    found = propose(scores, counts, claimed)
    for score, left, count, positions in zip(scores, free, counts, found, strict=True):
        assert positions.tolist() == sorted(sorted(left, key=lambda p, s=score: (-s[p], p))[:count])


@given(LEVELS, st.integers(0, 12))
def test_what_nobody_has_claimed_is_the_own_mask(layer: tuple[list[int], list[bool]], count: int) -> None:
    score = np.array(layer[0], dtype="f4")
    (found,) = propose([score], [count], [np.zeros(score.size, dtype=bool)])
    assert found.tolist() == top_positions(score, count).tolist()


LAYERS = st.lists(
    st.integers(1, 5000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=9
)


@given(LAYERS, st.integers(1, 12))
def test_counts_are_capped_and_keep_their_sum(layers: list[tuple[int, int]], groups: int) -> None:
    sizes, counts = [size for size, _ in layers], [count for _, count in layers]
    caps = [size // groups for size in sizes]
    found = capped_counts(counts, sizes, groups)
    assert all(0 <= count <= cap for count, cap in zip(found, caps, strict=True))
    assert sum(found) == min(sum(counts), sum(caps))
    if all(count <= cap for count, cap in zip(counts, caps, strict=True)):
        assert found == counts
    # What is cut off goes to layers that have room: none of these loses anything.
    assert all(new >= min(old, cap) for new, old, cap in zip(found, counts, caps, strict=True))


@pytest.mark.parametrize(
    ("counts", "sizes", "groups", "capped"),
    [
        ([30, 10, 10], [40, 40, 60], 2, [20, 15, 15]),  # 10 over, spread 1 : 1
        ([30, 10, 10], [40, 24, 60], 2, [20, 12, 18]),  # the second is full at 12, the third takes the rest
        ([30, 10, 20], [40, 20, 30], 2, [20, 10, 15]),  # 15 of 60 find no room
        ([4, 0], [4, 4], 2, [2, 2]),
        ([3, 3], [5, 7], 2, [2, 3]),  # parts are whole positions
        ([1, 1], [1, 1], 2, [0, 0]),
    ],
)
def test_caps_by_hand(counts: list[int], sizes: list[int], groups: int, capped: list[int]) -> None:
    assert capped_counts(counts, sizes, groups) == capped
