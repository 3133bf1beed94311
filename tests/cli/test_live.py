"""The live view of a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from meshtune.cli.live import Live, _clock, _loss
from meshtune.cli.progress import Lines
from meshtune.cli.watching import watch
from meshtune.runs.events import Note, PhaseStarted, Progress, RoundDone, Scored, StepDone

LOSSES = {"bank/0": 2.0, "bank/1": 4.0, "lora/0": 5.0}


def step(number: int, round: int = 1) -> StepDone:
    return StepDone(round, 2, number, 10, LOSSES, 1234.5)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_live_view_shows_losses_bytes_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    out = Terminal()
    with watch(out) as observer:
        assert isinstance(observer, Live)
        observer(PhaseStarted("load", 1))
        observer(Progress("load", 1, 1))
        observer(Note("[resuming] after round 1"))
        observer(step(5, round=2))
        observer(RoundDone(2, {"bank": {"values": 1_500_000}}))
        observer(PhaseStarted("score", 2))
        observer(Scored("piqa", 1, 2))
        observer(Progress("score", 1, 2))
        observer.console.print(observer.view())
    shown = out.getvalue()
    for part in (
        "[resuming] after round 1",
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
    methods = ("bank", "lora", "hard_moe", "hard_moe_lora", "local")
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
    live(StepDone(2, 4, 6, 40, {"bank/10": 1.0}, 123_456.7))
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


@pytest.mark.parametrize(
    ("loss", "shown"), [(9.994, "9.99"), (9.996, "10.0"), (99.94, "99.9"), (99.96, "100"), (9999.4, "9999")]
)
def test_a_loss_takes_at_most_four_letters(loss: float, shown: str) -> None:
    assert _loss(loss) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7262, "2:01:02")])
def test_a_time_is_shown_as_clocks_do(seconds: float, shown: str) -> None:
    assert _clock(seconds) == shown


def test_a_step_counts_behind_the_rounds_before_it_and_the_mean_is_over_devices(monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    live = Live(io.StringIO())
    live(step(5, round=2))
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(live.view())
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["bank", "2.00", "4.00", "3.00"] in lines
    assert ["lora", "5.00", "5.00"] in lines
    (task,) = live._progress.tasks
    assert (task.completed, task.total) == (15, 20)
    live(Scored("piqa", 1, 2))  # of a phase that has not started: nothing to draw it on
    assert len(live._progress.tasks) == 1
    assert live.doing == "training"  # an answer scored begins nothing
