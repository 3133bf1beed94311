"""A run's progress in plain lines, and the wording that all views share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from meshtune.cli.flags import in_flags
from meshtune.printable import printable
from meshtune.report.result_tables import bytes_text
from meshtune.runs.events import Event, Note, PhaseStarted, Progress, RoundDone, RunDone, Scored, StepDone

PHASES = {
    "load": "loading model and data",
    "prepare": "masks and router statistics",
    "rates": "searching learning rates",
    "score": "scoring",
}
QUIET_SECONDS = 5.0


def doing(event: Event) -> str | None:
    """Return what an event says has just started; None if it starts nothing."""
    if isinstance(event, PhaseStarted):
        return PHASES.get(event.phase, event.phase)
    return "training" if isinstance(event, StepDone) else None


class Lines:
    """One line per phase and round, and in between at most one every :data:`QUIET_SECONDS`.

    Args:
        stream: where lines go.
        clock: seconds; only differences count.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = -QUIET_SECONDS
        self._started: tuple[float, int] | None = None
        self.doing = ""

    def __call__(self, event: Event) -> None:
        """Print a line if the event is worth one."""
        self.doing = doing(event) or self.doing
        match event:
            case PhaseStarted(phase):
                self._say(PHASES.get(phase, phase))
            case StepDone():
                self._step(event)
            case RoundDone(number, sent):
                told = ", ".join(f"{name} {text}" for name, text in sent_by_method(sent).items())
                self._say(f"round {number} done; sent so far: {told or 'nothing'}")
            case Scored(task, done, total) if self._due():
                self._say(f"  {task}: {done} of {total} answers scored")
            case Progress(_, done, total) if self._due():
                self._say(f"  {done} of {total} done")
            case Note(text):
                self._say(in_flags(text))
            case Scored() | Progress() | RunDone():
                pass

    def _step(self, event: StepDone) -> None:
        now, done = self._clock(), (event.round - 1) * event.steps + event.step
        if self._started is None:
            self._started = (now, done)
        if self._due() or event.step == event.steps:
            since, first = self._started
            speed = event.tokens_per_second
            left = remaining(now - since, done - first, event.rounds * event.steps - done)
            parts = [
                f"round {event.round}/{event.rounds} step {event.step}/{event.steps}",
                "loss " + ", ".join(f"{name} {loss:.3f}" for name, loss in loss_by_method(event.losses).items()),
                *([f"{speed:,.0f} tokens/s"] if speed else []),
                *([f"{left} left"] if left else []),
            ]
            self._say("  " + "; ".join(parts))

    def _due(self) -> bool:
        return self._clock() - self._last >= QUIET_SECONDS

    def _say(self, text: str) -> None:
        self._last = self._clock()
        print(printable(text), file=self._stream, flush=True)


def loss_by_method(losses: Mapping[str, float]) -> dict[str, float]:
    """Return the mean loss of each method from the losses of ``method/device``."""
    by_name: dict[str, list[float]] = {}
    for key, loss in losses.items():
        by_name.setdefault(key.rpartition("/")[0], []).append(loss)
    return {name: sum(values) / len(values) for name, values in by_name.items()}


def sent_by_method(sent: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return the bytes of each method in readable form, from its bytes by kind."""
    return {name: bytes_text(sum(kinds.values())) for name, kinds in sent.items()}


def remaining(seconds: float, done: int, left: int) -> str:
    """Return the time left as h:mm:ss at the pace so far, or an empty text while there is no pace."""
    if done <= 0 or seconds <= 0:
        return ""
    whole = round(seconds / done * left)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
