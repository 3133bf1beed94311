"""Offers are said again until they are taken, each time after twice as long; what is outdated is withdrawn."""

from __future__ import annotations

import pytest

from lossy import ManualClock
from meshtune.errors import OversizedError
from meshtune.node.envelope import Envelope
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.outbox import Outbox
from meshtune.node.transfer.transfer_messages import content_of

CONFIG = TransferConfig(whole=5, timeout=1.0, keep_alive=3.0, silence=8.0, store=100, window=3)


def outbox() -> tuple[Outbox, ManualClock]:
    clock = ManualClock()
    return Outbox(CONFIG, clock, session=4), clock


def put(box: Outbox, data: bytes, version: int = 0, receiver: int = 1, source: int = 0) -> None:
    box.put(Envelope(0, receiver, source, version, data, {}))


def said(box: Outbox, neighbour: int = 1) -> list[tuple[int, int]]:
    """Return number and oldest number of what is due."""
    return [(offer.number, offer.oldest) for offer in box.due(neighbour)]


def test_an_offer_says_what_it_is_and_holds_what_is_small() -> None:
    box, _ = outbox()
    put(box, b"small", 3, source=7)
    put(box, b"larger")
    small, large = box.due(1)
    assert (small.session, small.number, small.source, small.version, small.data) == (4, 1, 7, 3, b"small")
    assert (large.number, large.content, large.data) == (2, content_of(b"larger"), None)
    assert box.due(2) == []


def test_an_offer_is_said_again_after_one_two_four_and_then_every_eight_seconds() -> None:
    box, clock = outbox()
    put(box, b"larger")
    times = []
    for tenths in range(400):
        clock.seconds = tenths / 10
        times += [clock.seconds for _ in box.due(1)]
    assert times == [0, 1, 3, 7, 15, 23, 31, 39]
    assert box.deadline(1) == 47
    box.remind(1)
    assert box.deadline(1) == clock.now()
    box.due(1)
    assert box.deadline(1) == clock.now() + 1


def test_who_fetches_is_not_told_again_meanwhile() -> None:
    box, clock = outbox()
    put(box, b"larger")
    box.due(1)
    clock.seconds = 0.9
    box.on_fetch(1, content_of(b"larger"))
    assert box.deadline(1) == 0.9 + 2


def test_what_is_taken_is_forgotten_and_the_window_moves_on() -> None:
    box, _ = outbox()
    for letter in "abcde":
        put(box, 10 * letter.encode())
    assert said(box) == [(1, 1), (2, 1), (3, 1)]
    assert box.on_taken(1, 2)
    assert (len(box), box.store.held) == (3, 30)
    assert said(box) == [(4, 3), (5, 3)]
    assert box.on_taken(1, 1)
    assert not box.on_taken(1, 6)
    assert not box.on_taken(2, 1)
    assert box.on_taken(1, 5)
    assert (len(box), box.store.held, box.deadline(1)) == (0, 0, None)


def test_a_neighbour_is_told_at_once_where_it_would_wait_for_what_was_withdrawn() -> None:
    box, _ = outbox()
    put(box, b"first one")
    put(box, b"version one", 1)
    put(box, b"another")
    put(box, b"version two", 2)
    assert said(box) == [(1, 1), (3, 1)]  # the fourth is outside the window
    assert box.on_taken(1, 1)
    assert said(box) == [(3, 3), (4, 3)]


def test_only_updates_of_one_source_to_one_neighbour_replace_each_other() -> None:
    box, _ = outbox()
    put(box, b"version one", 1)
    put(box, b"version one", 1, receiver=2)
    put(box, b"of another", 1, source=9)
    put(box, b"no update")
    put(box, b"version two", 2)
    assert said(box) == [(2, 2), (3, 2), (4, 2)]
    assert said(box, 2) == [(1, 1)]
    box.on_fetch(1, content_of(b"version two"))
    put(box, b"version three", 3)
    assert len(box) == 5


def test_where_there_is_no_room_the_oldest_are_withdrawn() -> None:
    box, _ = outbox()
    put(box, b"a" * 60)
    put(box, b"b" * 30, receiver=2)
    put(box, b"c" * 30)
    assert said(box) == [(2, 2)]
    assert said(box, 2) == [(1, 1)]
    assert box.store.held == 60
    with pytest.raises(OversizedError):
        put(box, bytes(101))
    box.forget(1)
    box.forget(1)
    assert (len(box), box.store.held) == (1, 30)
