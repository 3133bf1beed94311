"""The events of a run: one frozen dataclass each, in the order in which they occur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhaseStarted:
    """A phase has started.

    Attributes:
        phase: ``load``, ``prepare``, ``rates`` or ``score``; planning has phases of its own.
        total: how many steps it has.
    """

    phase: str
    total: int


@dataclass(frozen=True)
class Progress:
    """Steps of a phase are done.

    Attributes:
        phase: the phase.
        done: how many of its steps are done.
        total: how many it has.
    """

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class StepDone:
    """All devices have taken an optimiser step.

    Attributes:
        round: the current round; 1 is the first.
        rounds: how many rounds the run has.
        step: the step within this round; 1 is the first.
        steps: how many steps a round has.
        losses: the training loss (nats per answer token) by ``method/device``, for example ``proposed/0``.
        tokens_per_second: tokens trained per second since the round began, all devices and methods together.
    """

    round: int
    rounds: int
    step: int
    steps: int
    losses: Mapping[str, float]
    tokens_per_second: float


@dataclass(frozen=True)
class RoundDone:
    """A round is finished and its checkpoint is written.

    Attributes:
        round: the round; 1 is the first.
        bytes: the bytes sent so far by all devices: by method, then by kind.
    """

    round: int
    bytes: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Scored:
    """Answers of one exam are scored.

    Attributes:
        task: the exam.
        done: how many answers are scored.
        total: how many there are.
    """

    task: str
    done: int
    total: int


@dataclass(frozen=True)
class Note:
    """Something worth knowing, in one sentence: what was repaired, left out, forecast.

    Attributes:
        text: the sentence; names of settings and arguments stand in backquotes.
    """

    text: str


@dataclass(frozen=True)
class RunDone:
    """The run is finished and its results are written.

    Attributes:
        path: the run's folder.
    """

    path: Path


Event = PhaseStarted | Progress | StepDone | RoundDone | Scored | Note | RunDone
"""Any of them."""
