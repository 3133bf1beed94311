"""What shows a run: a live view on a terminal, lines elsewhere."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from meshtune.cli.live import Live
from meshtune.cli.progress import Lines
from meshtune.cli.watching import watch
from meshtune.runs.events import Note, PhaseStarted


def test_an_error_is_noted_with_what_was_under_way() -> None:
    def prepare() -> None:
        with watch(io.StringIO()) as observer:
            observer(PhaseStarted("prepare", 3))
            raise MemoryError

    with pytest.raises(MemoryError) as caught:
        prepare()
    assert caught.value.__notes__ == ["masks and router statistics"]


class Gone(io.StringIO):
    """A terminal that can be written to until it is closed."""

    there = True

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not self.there:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_gone_does_not_hide_why_all_ends() -> None:
    terminal = Gone()

    def closed() -> None:
        with watch(terminal) as observer:
            observer(PhaseStarted("load", 1))
            terminal.there = False
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        closed()


def test_a_stream_that_is_no_terminal_gets_lines() -> None:
    with watch(io.StringIO()) as observer:
        assert isinstance(observer, Lines)


def test_a_terminal_gets_the_live_view_and_stderr_is_what_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    with watch(Gone()) as observer:
        assert isinstance(observer, Live)
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with watch() as observer:
        observer(Note("hello"))
    assert stderr.getvalue() == "hello\n"


def test_an_error_before_anything_began_has_no_note() -> None:
    with pytest.raises(ValueError, match="early") as caught, watch(io.StringIO()):
        raise ValueError("early")
    assert not hasattr(caught.value, "__notes__")
