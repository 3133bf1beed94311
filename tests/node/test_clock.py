"""Clocks never run backwards."""

from __future__ import annotations

import time

from meshtune.network.virtual_clock import RoundCost, VirtualClock
from meshtune.node.clock import Clock, MonotonicClock


def test_the_clock_of_a_peer_is_that_of_the_machine() -> None:
    clock: Clock = MonotonicClock()
    before, now, after = time.monotonic(), clock.now(), time.monotonic()
    assert before <= now <= after


def test_the_clock_of_a_simulation_goes_on_with_its_rounds() -> None:
    tick = RoundCost(seconds=1.5)
    clock: Clock = VirtualClock([RoundCost(seconds=3.0), RoundCost(seconds=4.0)], tick)
    assert clock.now() == 8.5
    tick.seconds += 2
    assert clock.now() == 10.5
