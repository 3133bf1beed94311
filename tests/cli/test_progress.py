from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
from rich.console import Console

from meshtune.cli.live import Live
from meshtune.cli.progress import Lines, loss_by_method, remaining, sent_by_method
from meshtune.cli.watching import watch
from meshtune.runs.events import Note, PhaseStarted, Progress, RoundDone, RunDone, Scored, StepDone

LOSSES = {"proposed/0": 2.0, "proposed/1": 4.0, "lora/0": 5.0}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def step(number: int, round: int = 1) -> StepDone:
    return StepDone(round, 2, number, 10, LOSSES, 1234.5)


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


def test_helpers_by_hand() -> None:
    assert loss_by_method(LOSSES) == {"proposed": 3.0, "lora": 5.0}
    assert sent_by_method({"a": {"values": 900, "masks": 200}, "b": {"values": 5}}) == {"a": "1.10 kB", "b": "5 B"}
    assert remaining(10.0, 4, 1600) == "1:06:40"
    assert remaining(10.0, 0, 16) == ""


def test_lines_are_sparse_and_say_what_matters() -> None:
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, clock)
    lines(PhaseStarted("prepare", 2))
    lines(Progress("prepare", 1, 2))
    clock.now = 6
    lines(step(1))
    clock.now = 7
    lines(step(2))  # within the quiet time
    clock.now = 14
    lines(step(9))
    lines(step(10))  # the last of a round is always told
    lines(RoundDone(1, {"proposed": {"values": 1000, "masks": 500}, "local": {}}))
    lines(Note("hello"))
    clock.now = 30
    lines(Scored("boolq", 3, 9))
    lines(PhaseStarted("score", 7))
    clock.now = 36
    lines(Progress("score", 1, 7))
    lines(RunDone(Path("out")))
    assert out.getvalue().splitlines() == [
        "masks and router statistics",
        "  round 1/2 step 1/10; loss proposed 3.000, lora 5.000; 1,234 tokens/s",
        # 8 steps in 8 seconds, 11 steps of 20 to go
        "  round 1/2 step 9/10; loss proposed 3.000, lora 5.000; 1,234 tokens/s; 0:00:11 left",
        "  round 1/2 step 10/10; loss proposed 3.000, lora 5.000; 1,234 tokens/s; 0:00:09 left",
        "round 1 done; sent so far: proposed 1.50 kB, local 0 B",
        "hello",
        "  boolq: 3 of 9 answers scored",
        "scoring",
        "  1 of 7 done",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stream_that_is_no_terminal_gets_lines() -> None:
    with watch(io.StringIO()) as observer:
        assert isinstance(observer, Lines)


def test_the_live_view_shows_losses_bytes_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    out = Terminal()
    with watch(out) as observer:
        assert isinstance(observer, Live)
        observer(PhaseStarted("load", 1))
        observer(Progress("load", 1, 1))
        observer(Note("[going on] behind round 1"))
        observer(step(5, round=2))
        observer(RoundDone(2, {"proposed": {"values": 1_500_000}}))
        observer(PhaseStarted("score", 2))
        observer(Scored("piqa", 1, 2))
        observer(Progress("score", 1, 2))
        observer.console.print(observer.view())
    shown = out.getvalue()
    for part in (
        "[going on] behind round 1",
        "round 2/2",
        "1,234 tok/s",
        "1.50 MB",
        "1 of 2",
        "3.00",
        "scoring",
    ):
        assert part in shown
    assert "\x1b[?25h" in shown  # the cursor is given back


def test_ten_devices_and_five_methods_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    live = Live(io.StringIO())
    methods = ("proposed", "lora", "hard_moe", "hard_moe_lora", "local")
    losses = {f"{method}/{device}": 0.5 + 2 * device for method in methods for device in range(10)}
    live(PhaseStarted("prepare", 10))
    live(Progress("prepare", 10, 10))
    live(StepDone(2, 4, 5, 40, losses, 123_456.7))
    live(RoundDone(1, {method: {"values": 123_000_000} for method in methods}))
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(live.view())
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert not any("…" in line for line in lines)
    assert "hard_moe_lora 0.50 2.50 4.50 6.50 8.50 10.5 12.5 14.5 16.5 18.5 9.50 123 MB" in lines
    assert any(line.startswith("training ") and "round 2/4  123,457 tok/s" in line for line in lines)
    assert "first" not in "".join(lines)
    live(StepDone(2, 4, 6, 40, {"proposed/10": 1.0}, 123_456.7))
    console.print(live.view())
    assert "first 10 of 11 devices" in console.export_text()


def test_names_and_notes_are_shown_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task called ``[/]`` closes a style that nobody opened, to whom reads markup; an escape clears the screen."""
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    for observer in (Live(stream), Lines(stream, clock=lambda: 0.0)):
        observer(PhaseStarted("score", 2))
        observer(Scored("[/]\x1b[2J", 1, 2))
        observer(Note("read \x1b]0;owned\x07 :fire:"))
        if isinstance(observer, Live):
            console = Console(record=True, width=120, file=io.StringIO())
            console.print(observer.view())
            assert "[/]\\x1b[2J" in console.export_text()
    assert stream.getvalue().count("read \\x1b]0;owned\\x07 :fire:") == 2
    assert "\x1b]" not in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
