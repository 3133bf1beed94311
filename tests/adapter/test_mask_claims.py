"""Negotiated masks: claims by brute force, and what must hold whatever devices want."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.mask import collision_rate, top_positions, vote
from meshtune.adapter.mask_claims import capped_counts, negotiate


@dataclass(frozen=True)
class Cluster:
    """Devices of some groups; few different scores, so that there are ties."""

    sizes: list[int]
    groups: dict[int, str]
    scores: dict[int, list[Any]]
    counts: dict[int, list[int]]

    def own(self, device: int) -> list[Any]:
        return [top_positions(s, n) for s, n in zip(self.scores[device], self.counts[device], strict=True)]


@st.composite
def clusters(draw: st.DrawFn, groups: str = "abc") -> Cluster:
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    devices = draw(st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True))
    levels = st.integers(0, 4)
    return Cluster(
        sizes,
        {device: draw(st.sampled_from(groups)) for device in devices},
        {d: [np.array(draw(st.lists(levels, min_size=n, max_size=n)), dtype="f4") for n in sizes] for d in devices},
        {d: [draw(st.integers(0, n)) for n in sizes] for d in devices},
    )


@given(clusters())
def test_claims_by_brute_force(cluster: Cluster) -> None:
    """Position by position: a group's devices list what is free, best first; the group takes what most of them list."""
    keys = sorted(set(cluster.groups.values()))
    turns = negotiate(cluster.scores, cluster.counts, cluster.groups, cluster.sizes)
    assert [turn.group for turn in turns] == keys
    taken: list[set[int]] = [set() for _ in cluster.sizes]
    for turn in turns:
        mates = sorted(device for device, group in cluster.groups.items() if group == turn.group)
        assert list(turn.proposals) == mates
        wants = {d: capped_counts(cluster.counts[d], cluster.sizes, len(keys)) for d in mates}
        for layer, size in enumerate(cluster.sizes):
            free = [p for p in range(size) if p not in taken[layer]]
            lists = {
                d: sorted(free, key=lambda p, d=d: (-cluster.scores[d][layer][p], p))[: wants[d][layer]] for d in mates
            }
            assert {d: turn.proposals[d][layer].tolist() for d in mates} == {d: sorted(p) for d, p in lists.items()}
            first = lists[mates[0]]
            votes = {p: sum(p in lists[d] for d in mates) for p in free}
            best = sorted(free, key=lambda p: (-votes[p], p not in first, p))[: len(first)]
            assert turn.claim[layer].tolist() == sorted(best)
            taken[layer] |= set(best)


@given(clusters())
def test_groups_never_collide_and_keep_to_their_part(cluster: Cluster) -> None:
    turns = negotiate(cluster.scores, cluster.counts, cluster.groups, cluster.sizes)
    assert collision_rate([turn.claim for turn in turns], cluster.sizes) == 0
    for turn in turns:
        first = next(iter(turn.proposals))
        assert all(len(p) <= size // len(turns) for p, size in zip(turn.claim, cluster.sizes, strict=True))
        room = sum(size // len(turns) for size in cluster.sizes)
        assert sum(map(len, turn.claim)) == min(sum(cluster.counts[first]), room)


@given(clusters(), st.randoms())
def test_the_order_in_which_devices_are_named_is_nothing(cluster: Cluster, random: Random) -> None:
    order = list(cluster.groups)
    random.shuffle(order)
    named = [{device: one[device] for device in order} for one in (cluster.scores, cluster.counts, cluster.groups)]
    plain = negotiate(cluster.scores, cluster.counts, cluster.groups, cluster.sizes)
    shuffled = negotiate(*named, cluster.sizes)  # type: ignore[arg-type]
    for one, other in zip(plain, shuffled, strict=True):
        assert (one.group, list(one.proposals)) == (other.group, list(other.proposals))
        assert [p.tolist() for p in one.claim] == [p.tolist() for p in other.claim]


@given(clusters("a"))
def test_a_group_by_itself_has_the_vote_of_its_own_masks(cluster: Cluster) -> None:
    """So a device by itself has its own."""
    (turn,) = negotiate(cluster.scores, cluster.counts, cluster.groups, cluster.sizes)
    own = {device: cluster.own(device) for device in cluster.groups}
    expected = vote(list(own.items()), cluster.sizes)
    if len(own) == 1:
        (expected,) = own.values()
    assert [p.tolist() for p in turn.claim] == [p.tolist() for p in expected]


@given(clusters())
def test_the_first_to_claim_gets_its_best(cluster: Cluster) -> None:
    """Of one device and no more: nothing that it leaves is better than what it takes."""
    first = negotiate(cluster.scores, cluster.counts, cluster.groups, cluster.sizes)[0]
    if len(first.proposals) == 1:
        (device,) = first.proposals
        for score, claim in zip(cluster.scores[device], first.claim, strict=True):
            left = np.delete(score, claim)
            assert not claim.size or not left.size or score[claim].min() >= left.max()


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


def test_turns_by_hand() -> None:
    """One layer of six. "a" wants 5 and 4; both devices of "b" want 4 best, then differ; "c" has what is left."""
    scores = {
        0: [np.array([0.0, 1, 2, 3, 8, 9])],  # a
        1: [np.array([6.0, 5, 0, 0, 9, 1])],  # b: without 4 and 5 it is 0 and 1
        2: [np.array([0.0, 7, 6, 0, 9, 1])],  # b: 1 and 2
        3: [np.array([9.0, 9, 9, 0, 9, 9])],  # c
    }
    turns = negotiate(scores, {device: [2] for device in scores}, {0: "a", 1: "b", 2: "b", 3: "c"}, [6])
    assert [turn.claim[0].tolist() for turn in turns] == [[4, 5], [0, 1], [2, 3]]  # 1 has two votes, 0 the lower id's
    assert {d: mask[0].tolist() for d, mask in turns[1].proposals.items()} == {1: [0, 1], 2: [1, 2]}
