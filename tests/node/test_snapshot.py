"""What a device has become, written as plain values and read again: the same bits, each tensor under its name."""

from __future__ import annotations

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from letters import Exchange
from meshtune.methods.state import Member, Update
from meshtune.node.early_messages import EarlyMessages
from meshtune.node.snapshot import (
    pack_early,
    pack_member,
    pack_versions,
    unpack_early,
    unpack_member,
    unpack_versions,
)
from meshtune.wire.payload import Message, encode
from tensors import Shelf


def fresh() -> Member:
    return Exchange("bfloat16").receiver()


def test_a_member_comes_back_as_it_was() -> None:
    member, shelf = fresh(), Shelf()
    count = member.expert.count
    member.expert = member.expert.with_values(torch.arange(count).float())
    member.moments = {"m": torch.rand(count), "step": torch.tensor([7.0])}
    member.history = ("1", "abc")
    member.residual = torch.rand(count)
    member.held = {
        2: Update(2, 5, torch.rand(count), torch.arange(9, dtype=torch.uint8)),
        0: Update(0, 4, torch.ones(count)),
    }
    data = json.loads(json.dumps(pack_member(member, shelf.put)))
    again = fresh()
    again.held = {}
    unpack_member(again, data, shelf.take)
    assert torch.equal(again.expert.values, member.expert.values)
    assert again.moments.keys() == member.moments.keys()
    assert all(torch.equal(again.moments[name], member.moments[name]) for name in member.moments)
    assert again.history == ("1", "abc")
    assert again.residual is not None
    assert torch.equal(again.residual, member.residual)
    assert list(again.held) == [2, 0]
    for source, update in member.held.items():
        found = again.held[source]
        assert (found.source, found.version) == (source, update.version)
        assert torch.equal(found.values, update.values)
        assert (found.coded is None) == (update.coded is None)
    assert again.held[2].coded is not None
    assert torch.equal(again.held[2].coded, torch.arange(9, dtype=torch.uint8))


def test_what_a_member_has_not_is_not_written_and_is_none_again() -> None:
    member, shelf = fresh(), Shelf()
    data = pack_member(member, shelf.put)
    assert "residual" not in data
    again = fresh()
    again.residual = torch.ones(3)
    unpack_member(again, {**data, "held": []}, shelf.take)
    assert again.residual is None


@given(st.dictionaries(st.integers(0, 9), st.dictionaries(st.integers(0, 9), st.integers(0, 99), min_size=1)))
def test_versions_are_rows_in_order(versions: dict[int, dict[int, int]]) -> None:
    rows = pack_versions(versions)
    assert rows == sorted([n, s, v] for n, of in versions.items() for s, v in of.items())
    assert unpack_versions(json.loads(json.dumps(rows))) == versions


def test_messages_that_wait_go_on_waiting_for_their_round() -> None:
    early, again, shelf = EarlyMessages(), EarlyMessages(), Shelf()
    assert pack_early(early, shelf.put) == {}
    for sender, number in ((5, 8), (6, 7)):
        message = Message("update", sender, number, sender, {}, {"values": torch.ones(2)})
        early.wait(sender, message, encode(message))
    data = json.loads(json.dumps(pack_early(early, shelf.put)))
    unpack_early(again, data, shelf.take)
    assert again.snapshot() == early.snapshot()
    assert [sender for sender, _ in again.due(7)] == [6]
    assert [sender for sender, _ in again.due(8)] == [5]
    nothing = EarlyMessages()
    unpack_early(nothing, {}, shelf.take)
    unpack_early(nothing, {"early": None}, shelf.take)
    assert nothing.snapshot() == []
