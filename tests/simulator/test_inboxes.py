"""What arrives is shown to who listens, then taken in; refusals are counted or raised."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.errors import MalformedError
from meshtune.node.envelope import Envelope
from meshtune.simulator.inboxes import Inboxes


class Ear:
    """A node that writes down what it is told, in one diary for all."""

    def __init__(self, device: int, diary: list[Any]) -> None:
        self.device, self.diary = device, diary

    def receive(self, sender: int, data: bytes, now: float) -> None:
        self.diary.append(("receive", self.device, sender, data, now))

    def process(self, sender: int, data: bytes) -> None:
        self.diary.append(("process", self.device, sender, data))
        if data == b"bad":
            raise MalformedError("no message")


def letter(sender: int, receiver: int, data: bytes) -> Envelope:
    return Envelope(sender, receiver, sender, 1, data, {})


def test_each_goes_to_its_receiver_in_order_and_is_shown_before() -> None:
    diary: list[Any] = []
    nodes: Any = [Ear(4, diary), Ear(9, diary)]
    inboxes = Inboxes(nodes, lambda now, one: diary.append(("shown", now, one.data)))
    inboxes.deliver([letter(4, 9, b"a"), letter(9, 4, b"b")], 2.5)
    assert diary == [
        ("shown", 2.5, b"a"),
        ("receive", 9, 4, b"a", 2.5),
        ("shown", 2.5, b"b"),
        ("receive", 4, 9, b"b", 2.5),
    ]
    diary.clear()
    with pytest.raises(MalformedError, match="no message"):
        inboxes.require([letter(4, 9, b"ok"), letter(9, 4, b"bad"), letter(4, 9, b"never")], 1.0)
    assert diary == [
        ("shown", 1.0, b"ok"),
        ("process", 9, 4, b"ok"),
        ("shown", 1.0, b"bad"),
        ("process", 4, 9, b"bad"),
    ]


def test_nobody_has_to_listen_and_strangers_have_no_inbox() -> None:
    diary: list[Any] = []
    nodes: Any = [Ear(4, diary)]
    Inboxes(nodes).deliver([letter(9, 4, b"a")])
    assert diary == [("receive", 4, 9, b"a", 0.0)]
    with pytest.raises(KeyError):
        Inboxes(nodes).deliver([letter(4, 9, b"a")])
