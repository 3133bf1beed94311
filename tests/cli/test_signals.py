"""Signals that ask a process to end, and those that it was told to ignore."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from meshtune.cli.signals import STOPPING, Stopped, stoppable


@pytest.fixture(autouse=True)
def defaults() -> object:
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_as_ctrl_c_does_with_a_code_of_its_own(number: int, code: int) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        os.kill(os.getpid(), number)
    assert isinstance(caught.value, Stopped)
    assert caught.value.code == code
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_thread_leaves_signals_as_they_are() -> None:
    seen = []

    def inside() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
