"""The live view of a run on a terminal: progress bars, the loss of every device, bytes sent, time left."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from meshtune.cli.flags import in_flags
from meshtune.cli.progress import PHASES, doing, sent_by_method
from meshtune.printable import printable
from meshtune.runs.events import Event, Note, PhaseStarted, Progress, RoundDone, RunDone, Scored, StepDone

DEVICE = 5  # columns that a device's loss takes with its gap
REST = 29  # columns of everything else in its line


class _Time(ProgressColumn):
    """The time left while a phase runs, and the time it took once it has ended."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time if task.finished else task.time_remaining
        word = "" if task.finished else " left"
        return Text("" if seconds is None else f"{_clock(seconds)}{word}", style="progress.remaining")


class Live:
    """An observer that redraws one view in place; a context manager, so that the terminal is always restored.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream)
        self._progress = Bars(
            TextColumn("{task.description:<27}"),
            BarColumn(bar_width=min(32, max(8, self.console.width - 66))),
            TextColumn("{task.fields[state]:<25}", markup=False),
            _Time(),
            console=self.console,
        )
        self.doing = ""
        self._bars: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}
        self._losses: dict[str, dict[str, float]] = {}
        self._sent: dict[str, str] = {}
        self._live = RichLive(get_renderable=self.view, console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Live:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._live.__exit__(kind, error, trace)
        except OSError:
            if error is None:  # a lost terminal must not hide the original error
                raise

    def __call__(self, event: Event) -> None:
        """Update the view with the event."""
        self.doing = doing(event) or self.doing
        match event:
            case PhaseStarted(phase, total):
                self._bar(phase, total)
            case Progress(phase, done, total):
                self._done[phase] = done
                self._to(phase, done, f"{done} of {total}")
            case Scored(task, done, total):
                self._scored(done, total, printable(task, 25))
            case StepDone():
                self._step(event)
            case RoundDone(_, sent):
                self._sent = sent_by_method(sent)
            case Note(text):
                self.console.print(printable(in_flags(text)), highlight=False, markup=False, emoji=False)
            case RunDone():
                pass

    def view(self) -> RenderableType:
        """Return what is on the screen now."""
        return Group(self._progress, *([self._table()] if self._losses else []))

    def _step(self, event: StepDone) -> None:
        before = (event.round - 1) * event.steps
        if "train" not in self._bars:
            self._bar("train", event.rounds * event.steps, before)
        state = f"round {event.round}/{event.rounds}  {event.tokens_per_second:,.0f} tok/s"
        self._to("train", before + event.step, state)
        for key, loss in event.losses.items():
            method, _, device = key.rpartition("/")
            self._losses.setdefault(method, {})[device] = loss

    def _scored(self, done: int, total: int, task: str) -> None:
        if "score" in self._bars and total:
            self._to("score", self._done.get("score", 0) + done / total, task)

    def _bar(self, name: str, total: int, done: int = 0) -> None:
        description = "training" if name == "train" else PHASES.get(name, name)
        self._bars[name] = self._progress.add_task(description, total=total, completed=done, state="")

    def _to(self, name: str, done: float, state: str) -> None:
        if name in self._bars:
            self._progress.update(self._bars[name], completed=done, state=state)

    def _table(self) -> Table:
        devices = list(dict.fromkeys(d for losses in self._losses.values() for d in losses))
        shown = devices[: max(1, (self.console.width - REST) // DEVICE)]
        more = f", first {len(shown)} of {len(devices)} devices" if len(shown) < len(devices) else ""
        table = Table(
            box=box.SIMPLE_HEAD,
            title=f"\ntraining loss of every device{more}, and bytes sent so far",
            title_justify="left",
            padding=0,
            show_edge=False,
        )
        table.add_column("method", no_wrap=True)
        for device in (*shown, "mean"):
            table.add_column(device, justify="right", no_wrap=True)
        table.add_column("sent", justify="right", no_wrap=True)
        for method, losses in self._losses.items():
            cells = [_loss(losses[d]) if d in losses else "" for d in shown]
            mean = sum(losses.values()) / len(losses)
            table.add_row(method, *cells, _loss(mean), self._sent.get(method, ""))
        return table


def _loss(value: float) -> str:
    """Return a loss in at most four characters, as long as it is below ten thousand."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02d}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02d}"
