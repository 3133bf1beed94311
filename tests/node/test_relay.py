"""Links that may not deliver: each asks the lowest neighbour that holds the newest, one at a time, and never twice."""

from __future__ import annotations

import pytest

from exchanges import FULL, play, start
from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import ForeignError
from meshtune.node.envelope import Envelope
from meshtune.node.relay import Relay
from meshtune.node.updates import UpdateRules
from meshtune.wire.payload import decode


def relay_of(device: int, holds: set[int], form: str = "bfloat16") -> tuple[Relay, UpdateRules]:
    """A device that holds the updates of some devices, its own among them, of round 2."""
    method, state, factory = start("bank")
    for _ in range(2):
        play(method, state, factory, FULL, form)
    member = state.members["bank"][device]
    member.held = {source: update for source, update in member.held.items() if source in holds | {device}}
    rules = UpdateRules(method, factory, ExchangeConfig(values=form, block=32), 2)  # type: ignore[arg-type]
    return Relay(member), rules


def asked(found: list[Envelope]) -> list[tuple[int, list[int]]]:
    return [(one.receiver, decode(one.data).tensors["sources"].tolist()) for one in found]


def test_it_asks_for_the_newest_of_the_lowest_neighbour_that_has_it() -> None:
    relay, rules = relay_of(0, {1})
    relay.open([1, 2, 3], own=True)
    assert relay.wants(rules) == []  # nobody has said anything yet
    relay.inventory.on_have(1, [(4, 1, 2), (5, 2, 0)])  # of 4 an older one, and somebody has the newest
    relay.inventory.on_have(2, [(4, 2, 0), (5, 2, 0), (1, 2, 0)])
    relay.inventory.on_have(3, [(3, 2, 0), (5, 2, 0), (0, 2, 0)])
    assert asked(relay.wants(rules)) == [(3, [3]), (2, [4]), (1, [5])]  # nothing of itself, nor of 1, which it holds
    relay.missed(1, 5)
    relay.missed(2, 4)
    assert asked(relay.wants(rules)) == [(3, [3]), (2, [5])]  # nobody else has 4
    relay.unlink(3)
    assert asked(relay.wants(rules)) == [(2, [5])]
    relay.open([1, 2, 3], own=True)
    assert asked(relay.wants(rules)) == [(3, [3]), (2, [4]), (1, [5])]


def test_nobody_is_asked_for_what_it_does_not_relay() -> None:
    relay, rules = relay_of(0, set())
    rules = UpdateRules(rules.method, rules.factory, rules.settings, 2, relay=False)
    relay.open([1, 2], own=True)
    relay.inventory.on_have(1, [(1, 2, 0), (5, 2, 0)])
    assert asked(relay.wants(rules)) == [(1, [1])]


def test_what_was_asked_for_is_served_once() -> None:
    relay, rules = relay_of(0, {1, 4}, "int4")
    relay.open([1, 2, 3], own=True)
    relay.inventory.on_have(2, [(4, 1, 0)])
    for neighbour, source in ((3, 4), (2, 4), (2, 0)):
        relay.on_want(neighbour, [source])
    with pytest.raises(ForeignError, match="requests the update of device 5, which is not held here"):
        relay.on_want(2, [5])
    served = relay.serve(one_copy=False, rules=rules)
    assert [(one.receiver, one.source, one.version) for one in served] == [(3, 4, 2), (2, 4, 2), (2, 0, 2)]
    assert ["since" in decode(one.data).meta for one in served] == [False, True, False]  # only 2 holds version 1 of 4
    assert relay.serve(one_copy=False, rules=rules) == []


def test_a_broadcast_is_one_message_that_all_can_open() -> None:
    relay, rules = relay_of(0, {1, 4}, "int4")
    relay.open([1, 2, 3], own=True)
    relay.inventory.on_have(2, [(0, 1, 0), (4, 1, 0)])
    for neighbour, source in ((3, 4), (2, 4), (2, 1)):
        relay.on_want(neighbour, [source])
    served = relay.serve(one_copy=True, rules=rules)
    assert [(one.receiver, one.source) for one in served] == [(2, 1)]  # the lowest source only
    for neighbour in (3, 2):
        relay.on_want(neighbour, [4])
    served = relay.serve(one_copy=True, rules=rules)
    assert [one.receiver for one in served] == [3, 2]
    assert served[0].data == served[1].data
    assert "since" not in decode(served[0].data).meta  # 3 holds nothing of it
    own = relay.own_updates([2, 3], one_copy=False, rules=rules)
    assert ["since" in decode(one.data).meta for one in own] == [True, False]
    one, other = relay.own_updates([2, 3], one_copy=True, rules=rules)
    assert one.data == other.data
    assert "since" not in decode(one.data).meta


def test_news_are_told_once_and_hearsay_only_where_asked_for() -> None:
    relay, rules = relay_of(0, {1})
    relay.open([1, 2], own=False)  # its own is not ready
    relay.inventory.on_have(1, [(5, 2, 0)])

    def told(hearsay: bool) -> dict[int, list[list[int]]]:
        return {one.receiver: decode(one.data).tensors["entries"].tolist() for one in relay.news(hearsay, rules)}

    assert told(False) == {1: [[1, 2, 0]], 2: [[1, 2, 0]]}
    assert told(False) == {}
    assert told(True) == {1: [[5, 0, 2]], 2: [[5, 0, 2]]}
    relay.open([1, 2], own=True)
    assert told(False) == {1: [[0, 2, 0]], 2: [[0, 2, 0]]}
