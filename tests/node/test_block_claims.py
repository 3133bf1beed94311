"""Claims of blocks: devices in any connected graph agree, in any order, and who joins late displaces nobody."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.adapter.blocks import Claim
from meshtune.errors import PayloadError, UserError
from meshtune.node.block_claims import BlockClaims
from meshtune.node.envelope import Envelope
from meshtune.wire.payload import Message, encode


def deliver(devices: dict[int, BlockClaims], sent: Sequence[Envelope], data: st.DataObject | None = None) -> None:
    """Deliver all that is sent, in an order that is drawn, and some of it twice."""
    waiting = list(sent)
    while waiting:
        at = 0 if data is None else data.draw(st.integers(0, len(waiting) - 1))
        one = waiting.pop(at)
        waiting += devices[one.receiver].receive(one.sender, one.data)
        if data is not None and data.draw(st.booleans()):
            waiting += devices[one.receiver].receive(one.sender, one.data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_all_agree_on_one_block_a_group(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, 2**40), min_size=1, max_size=7, unique=True))
    groups = {device: data.draw(st.sampled_from("abcd")) for device in ids}
    room = data.draw(st.none() | st.integers(len(set(groups.values())), 6))
    links: dict[int, set[int]] = {device: set() for device in ids}
    for number, device in enumerate(ids[1:], start=1):  # a random tree, so that all can hear of all
        other = data.draw(st.sampled_from(ids[:number]))
        links[device].add(other)
        links[other].add(device)
    devices = {device: BlockClaims(device, groups[device], room) for device in ids}
    sent: list[Envelope] = []
    for device, one in devices.items():
        sent += one.meet(links[device])
    for device in data.draw(st.permutations(ids)):
        sent += devices[device].claim()
    deliver(devices, sent, data)
    found = [one.blocks for one in devices.values()]
    assert all(blocks == found[0] for blocks in found)
    assert set(found[0]) == set(groups.values())
    assert len(set(found[0].values())) == len(found[0])
    assert all(room is None or block < room for block in found[0].values())


def test_who_joins_late_takes_its_groups_block_or_the_lowest_free_one() -> None:
    devices = {5: BlockClaims(5, "maps"), 8: BlockClaims(8, "sums")}
    deliver(devices, [*devices[5].meet([8]), *devices[8].meet([5])])
    deliver(devices, devices[5].claim())
    deliver(devices, devices[8].claim())
    assert devices[5].blocks == devices[8].blocks == {"maps": 0, "sums": 1}
    for device, group, block in ((0, "sums", 1), (1, "odds", 2)):  # of lower ids, which win where claims collide
        devices[device] = BlockClaims(device, group)
        deliver(devices, [*devices[device].meet([8]), *devices[8].meet([other for other in devices if other != 8])])
        deliver(devices, devices[device].claim())
        assert devices[device].block == block
    assert all(one.blocks == {"maps": 0, "sums": 1, "odds": 2} for one in devices.values())


def test_a_block_that_was_lost_is_claimed_anew_while_there_are_some() -> None:
    one = BlockClaims(5, "maps", room=2)
    one.claim()
    assert one.block == 0
    other = BlockClaims(3, "sums", room=2)  # has not heard of the first
    other.meet([5])
    (claimed,) = other.claim()
    assert one.meet([3])
    (answer,) = one.receive(3, claimed.data)
    assert one.blocks == {"sums": 0, "maps": 1}
    assert other.receive(5, answer.data) == []
    assert other.blocks == one.blocks
    third = BlockClaims(9, "odds", room=2)
    third.claims = set(one.claims)
    with pytest.raises(UserError, match="all 2 blocks are taken"):
        third.claim()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Message("announce", 1, 0, 1, {"claims": []}), "kind 'announce' came, expected one of kind block"),
        (Message("block", 2, 0, 2, {"claims": []}), "names device 2 as its sender"),
        (Message("block", 1, 0, 1, {}), "lacks its claims"),
        (Message("block", 1, 0, 1, {"claims": 3}), "not send a valid list of claims"),
        (Message("block", 1, 0, 1, {"claims": [[1, 2]]}), "an invalid claim"),
        (Message("block", 1, 0, 1, {"claims": [[1, 4, "a"]]}), "expected a whole number from 0 to 3"),
        (Message("block", 1, 0, 1, {"claims": [[1, 0, "x" * 300]]}), "expected text of 1 to 256 characters"),
        (Message("block", 1, 1, 1, {"claims": []}), "of round 1 in round 0"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(message: Message, why: str) -> None:
    one = BlockClaims(0, "maps", room=4)
    one.claim()
    with pytest.raises(PayloadError, match=why):
        one.receive(1, encode(message))
    damaged = bytearray(encode(Message("block", 1, 0, 1, {"claims": [[1, 0, "a"]]})))
    damaged[-3] ^= 1
    with pytest.raises(PayloadError):
        one.receive(1, bytes(damaged))
    assert one.claims == {Claim(0, 0, "maps")}
