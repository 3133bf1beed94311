"""What came too early waits for its round, the newest of each kind, and no more than there is room for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.node import early_messages
from meshtune.node.early_messages import EarlyMessages
from meshtune.wire.payload import Message

SMALL = st.integers(0, 2)


def message(round_: int, source: int = 1, kind: str = "update") -> Message:
    return Message(kind, 0, round_, source, {}, {})


@given(st.lists(st.tuples(SMALL, SMALL, SMALL, st.sampled_from(["update", "have"])), max_size=30), SMALL)
def test_the_newest_of_each_sender_kind_source_and_round_waits(came: list[tuple[int, int, int, str]], now: int) -> None:
    early, kept = EarlyMessages(), dict[tuple[int, int, int, str], bytes]()
    for number, (sender, round_, source, kind) in enumerate(came):
        assert early.wait(sender, message(round_, source, kind), bytes([number]))
        kept[sender, round_, source, kind] = bytes([number])
    assert sorted(early.snapshot()) == sorted((key[0], data) for key, data in kept.items())
    due = early.due(now)
    assert due == [(key[0], data) for key, data in kept.items() if key[1] <= now]
    assert early.due(now) == []
    assert early.due(9) == [(key[0], data) for key, data in kept.items() if key[1] > now]
    assert early.snapshot() == []


def test_where_there_is_no_room_only_what_waits_already_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_messages, "MOST_WAITING", 2)
    early = EarlyMessages()
    assert early.wait(5, message(3), b"a")
    assert early.wait(5, message(4), b"b")
    assert not early.wait(6, message(3), b"c")
    assert early.wait(5, message(3), b"d")
    assert early.due(3) == [(5, b"d")]
    assert early.wait(6, message(3), b"c")
    assert early.snapshot() == [(5, b"b"), (6, b"c")]
