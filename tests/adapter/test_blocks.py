"""Blocks of the projection: the lowest that is free, and claims settled by device id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.blocks import Claim, capacity, lowest_free, resolve
from meshtune.errors import UserError

CLAIMS = st.lists(st.builds(Claim, st.integers(0, 9), st.integers(0, 4), st.sampled_from("abcd")), max_size=12)


@given(st.sets(st.integers(0, 20), max_size=12))
def test_a_late_joiner_takes_the_lowest_free_block(taken: set[int]) -> None:
    block = lowest_free(taken)
    assert block not in taken
    assert all(lower in taken for lower in range(block))
    with pytest.raises(UserError, match="all 5 blocks are taken"):
        lowest_free(range(5), room=5)


@given(CLAIMS, st.randoms())
def test_claims_are_settled_alike_in_any_order(claims: list[Claim], random: object) -> None:
    blocks = resolve(claims)
    assert resolve(reversed([*claims, *claims])) == blocks
    assert len(set(blocks.values())) == len(blocks)
    for one in claims:  # who goes without has lost each block that it claimed to a lower or equal id
        if one.group not in blocks:
            winners = [other for other in claims if other.block == one.block and blocks.get(other.group) == one.block]
            assert min(winners).device <= one.device


def test_of_two_claims_the_lower_device_wins() -> None:
    first = [Claim(4, 0, "maps"), Claim(7, 0, "sums")]
    assert resolve(first) == {"maps": 0}
    assert resolve([*first, Claim(7, 1, "sums")]) == {"maps": 0, "sums": 1}
    assert resolve([*first, Claim(7, 1, "sums"), Claim(2, 0, "odds")]) == {"odds": 0, "sums": 1}
    assert resolve([Claim(9, 3, "sums"), Claim(12, 0, "sums")]) == {"sums": 3}  # one block a group


def test_as_many_blocks_fit_as_the_narrowest_layer_has_room_for() -> None:
    assert [capacity([64, 128], rank) for rank in (1, 8, 16, 33, 64, 65)] == [64, 8, 4, 1, 1, 0]
