"""What a run is doing, in plain lines, and the words that any view of it shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from meshtune.printable import printable
from meshtune.report.result_tables import bytes_text

PHASES = {
    "load": "loading model and data",
    "prepare": "masks and router statistics",
    "rates": "looking for learning rates",
    "score": "scoring",
}
QUIET_SECONDS = 5.0


def doing(kind: str, fields: Mapping[str, Any]) -> str | None:
    """Return what an event says is under way from now on; None where it says nothing of that."""
    if kind == "phase":
        return PHASES.get(fields["name"], str(fields["name"]))
    return "training" if kind == "step" else None


class Lines:
    """One line per phase and round, and at most one in :data:`QUIET_SECONDS` between.

    Args:
        stream: where lines go.
        clock: seconds; only differences count.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = -QUIET_SECONDS
        self._started: tuple[float, int] | None = None
        self._total = 0
        self.doing = ""

    def event(self, kind: str, **fields: Any) -> None:
        """Print a line where the event is worth one."""
        self.doing = doing(kind, fields) or self.doing
        if kind == "phase":
            self._total = fields.get("total", 0)
            self._say(PHASES.get(fields["name"], fields["name"]))
        elif kind == "step":
            self._step(**fields)
        elif kind == "round":
            sent = ", ".join(f"{name} {text}" for name, text in sent_by_method(fields["bytes"]).items())
            self._say(f"round {fields['round']} done; sent so far: {sent or 'nothing'}")
        elif kind == "scored" and self._due():
            task = f"{fields['task']}: " if "task" in fields else ""
            self._say(f"  {task}{fields['done']} of {fields['total']} answers scored")
        elif kind == "advance" and self._due():
            self._say(f"  {fields['done']} of {self._total} done")
        elif kind == "note":
            self._say(str(fields["text"]))

    def _step(self, round: int, rounds: int, step: int, steps: int, losses: Mapping[str, float], **more: Any) -> None:
        now, done = self._clock(), round * steps + step
        if self._started is None:
            self._started = (now, done)
        if self._due() or step == steps:
            since, first = self._started
            speed = more.get("tokens_per_second")
            left = remaining(now - since, done - first, rounds * steps - done)
            parts = [
                f"round {round + 1}/{rounds} step {step}/{steps}",
                "loss " + ", ".join(f"{name} {loss:.3f}" for name, loss in loss_by_method(losses).items()),
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


def sent_by_method(sent: Mapping[str, Any]) -> dict[str, str]:
    """Return the bytes of each method for people; a method's count may be split by kind."""
    totals = {n: sum(v.values()) if isinstance(v, Mapping) else int(v) for n, v in sent.items()}
    return {name: bytes_text(total) for name, total in totals.items()}


def remaining(seconds: float, done: int, left: int) -> str:
    """Return the time left as h:mm:ss at the pace so far, or nothing while there is no pace."""
    if done <= 0 or seconds <= 0:
        return ""
    whole = round(seconds / done * left)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
