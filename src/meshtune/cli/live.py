"""The live view of a run on a terminal: progress bars, the loss of every device, bytes sent, time left."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from meshtune.cli.progress import PHASES, sent_by_method

MOST_DEVICES = 12


class Live:
    """An observer that redraws one view in place; a context manager, so that the terminal is always given
    back.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream)
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[state]:<24}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._bars: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
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
        self._live.__exit__(kind, error, trace)

    def event(self, kind: str, **fields: Any) -> None:
        """Take the event into the view."""
        if kind == "phase":
            self._bar(fields["name"], fields["total"])
        elif kind == "advance":
            name = fields["name"]
            self._done[name] = fields["done"]
            self._to(name, fields["done"], f"{fields['done']} of {self._totals.get(name, 0)}")
        elif kind == "scored":
            self._scored(fields["done"], fields["total"], str(fields.get("task", "")))
        elif kind == "step":
            self._step(**fields)
        elif kind == "round":
            self._sent = sent_by_method(fields["bytes"])
        elif kind == "note":
            self.console.print(fields["text"], highlight=False, markup=False)

    def view(self) -> RenderableType:
        """Return what is on the screen now."""
        return Group(self._progress, *([self._table()] if self._losses else []))

    def _step(
        self,
        round: int,
        rounds: int,
        step: int,
        steps: int,
        losses: Mapping[str, float],
        tokens_per_second: float = 0.0,
    ) -> None:
        if "train" not in self._bars:
            self._bar("train", rounds * steps, round * steps)
        state = f"round {round + 1}/{rounds}  {tokens_per_second:,.0f} tok/s"
        self._to("train", round * steps + step, state)
        for key, loss in losses.items():
            method, _, device = key.rpartition("/")
            self._losses.setdefault(method, {})[device] = loss

    def _scored(self, done: int, total: int, task: str) -> None:
        if "score" in self._bars and total:
            self._to("score", self._done.get("score", 0) + done / total, task)

    def _bar(self, name: str, total: int, done: int = 0) -> None:
        description = "training" if name == "train" else PHASES.get(name, name)
        self._totals[name] = total
        self._bars[name] = self._progress.add_task(description, total=total, completed=done, state="")

    def _to(self, name: str, done: float, state: str) -> None:
        if name in self._bars:
            self._progress.update(self._bars[name], completed=done, state=state)

    def _table(self) -> Table:
        devices = list(dict.fromkeys(d for losses in self._losses.values() for d in losses))
        shown = devices[:MOST_DEVICES]
        more = f", first {MOST_DEVICES} of {len(devices)} devices" if len(devices) > MOST_DEVICES else ""
        table = Table(box=box.SIMPLE_HEAD, title=f"training loss by device{more}", title_justify="left")
        table.add_column("method")
        for device in (*shown, "mean"):
            table.add_column(device, justify="right")
        table.add_column("sent", justify="right")
        for method, losses in self._losses.items():
            cells = [f"{losses[d]:.2f}" if d in losses else "" for d in shown]
            mean = sum(losses.values()) / len(losses)
            table.add_row(method, *cells, f"{mean:.2f}", self._sent.get(method, ""))
        return table
