"""Silence is counted from a neighbour's last message, or from when it was first watched."""

from __future__ import annotations

from lossy import ManualClock
from meshtune.node.transfer.liveness import Liveness


def test_a_neighbour_is_gone_after_silence_and_back_with_a_message() -> None:
    clock = ManualClock()
    liveness = Liveness(10.0, clock)
    assert liveness.deadline() is None
    liveness.watch([1, 2])
    clock.seconds = 4.0
    assert not liveness.heard(2)
    assert liveness.deadline() == 10.0
    clock.seconds = 9.99
    assert liveness.lapsed() == []
    clock.seconds = 10.0
    assert liveness.lapsed() == [1]
    assert liveness.lapsed() == []
    assert liveness.gone == {1}
    assert liveness.deadline() == 14.0
    clock.seconds = 20.0
    assert liveness.lapsed() == [2]
    assert liveness.deadline() is None
    assert liveness.heard(1)
    assert not liveness.heard(1)
    assert liveness.gone == {2}
    assert liveness.deadline() == 30.0


def test_who_is_watched_no_more_is_not_gone() -> None:
    clock = ManualClock()
    liveness = Liveness(10.0, clock)
    liveness.watch([1, 2])
    clock.seconds = 10.0
    liveness.lapsed()
    liveness.watch([2, 3])
    assert liveness.gone == {2}
    assert liveness.deadline() == 20.0
