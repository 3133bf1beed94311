from __future__ import annotations

import io
from pathlib import Path

from meshtune.cli.progress import Lines, loss_by_method, remaining, sent_by_method
from meshtune.runs.events import Note, PhaseStarted, Progress, RoundDone, RunDone, Scored, StepDone

LOSSES = {"bank/0": 2.0, "bank/1": 4.0, "lora/0": 5.0}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def step(number: int, round: int = 1) -> StepDone:
    return StepDone(round, 2, number, 10, LOSSES, 1234.5)


def test_helpers_by_hand() -> None:
    assert loss_by_method(LOSSES) == {"bank": 3.0, "lora": 5.0}
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
    lines(RoundDone(1, {"bank": {"values": 1000, "masks": 500}, "local": {}}))
    lines(Note("hello"))
    clock.now = 30
    lines(Scored("boolq", 3, 9))
    lines(PhaseStarted("score", 7))
    clock.now = 36
    lines(Progress("score", 1, 7))
    lines(RunDone(Path("out")))
    assert out.getvalue().splitlines() == [
        "masks and router statistics",
        "  round 1/2 step 1/10; loss bank 3.000, lora 5.000; 1,234 tokens/s",
        # 8 steps in 8 seconds, 11 steps of 20 to go
        "  round 1/2 step 9/10; loss bank 3.000, lora 5.000; 1,234 tokens/s; 0:00:11 left",
        "  round 1/2 step 10/10; loss bank 3.000, lora 5.000; 1,234 tokens/s; 0:00:09 left",
        "round 1 done; sent so far: bank 1.50 kB, local 0 B",
        "hello",
        "  boolq: 3 of 9 answers scored",
        "scoring",
        "  1 of 7 done",
    ]
