"""How long a run will take: forecast before training from a few passes, and corrected if it proves wrong.

The cost of a token is measured on the run's own rows; tokens are counted. Devices that do the same work share it, and
how many will is known exactly only after training. The forecast assumes the first round's sharing for all rounds, and
that devices on a full graph of free links hold the same experts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData, Exam
from meshtune.decoding.generation import generate
from meshtune.decoding.sampling import Writing
from meshtune.decoding.scoring import Ask, score
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.network.federation_state import FederationState, distinct_jobs
from meshtune.training.trainer import accumulate

SAMPLE, MOST = 256, 2048
"""Tokens of the timed passes: the least, and the number beyond which no more are needed."""
SHORT = 0.25
"""Seconds: a shorter pass says little about a whole round, so a larger one is timed."""
FULL = 2.0
"""How much more a training token costs if every weight is trained."""
OFF = 1.5
"""A forecast that is off by this factor is corrected."""
LOOK = 64
"""Steps whose rows are counted; further steps are assumed to be similar."""
STEPS = 4
"""Tokens per answer generated to time writing."""


@dataclass(frozen=True)
class Speed:
    """Seconds per token: ``training`` forward and backward, ``scoring`` forward only."""

    training: float
    scoring: float


@dataclass(frozen=True)
class Duration:
    """Seconds of a run from here on: ``training`` all rounds, ``scoring`` all exams without written answers."""

    training: float
    scoring: float
    writes: bool

    def text(self) -> str:
        """Return one sentence for people."""
        more = ", without written answers, whose time is estimated when they begin" if self.writes else ""
        return (
            f"time: about {clock_text(self.training + self.scoring)} from here ({clock_text(self.training)} training, "
            f"{clock_text(self.scoring)} scoring{more})"
        )


def measure_speed(base: Base, config: RunConfig, devices: Sequence[DeviceData], factory: ExpertFactory) -> Speed:
    """Return the cost of a token, from passes over a few training rows; the first pass of each kind is not timed."""
    expert: Expert = factory.lora()
    train = config.train
    values: Tensor = expert.values.clone().requires_grad_()
    probe = expert.with_values(values)
    rows: list[Row] = []
    tokens, training = 0, 0.0
    while training <= SHORT and tokens < MOST:
        wanted = max(SAMPLE, 4 * tokens)
        while tokens < wanted:
            turn, device = divmod(len(rows), len(devices))
            rows.append(devices[device].row(turn % devices[device].samples))
            tokens += len(rows[-1].tokens)
        training = _second(lambda: accumulate(base, [(probe, rows)], train.micro_tokens, train.checkpoint))
    asks = [Ask([row], expert) for row in rows]
    scoring = _second(lambda: score(base, asks, config.eval.micro_tokens))
    return Speed(training / tokens, scoring / tokens)


def forecast_time(
    speed: Speed,
    config: RunConfig,
    methods: Sequence[Method],
    devices: Sequence[DeviceData],
    state: FederationState,
    papers: Sequence[Exam],
    labels: Mapping[str, Method | None],
) -> Duration:
    """Return how long the rest of a run will take.

    Args:
        speed: see :func:`measure_speed`.
        config: the run's settings.
        methods: the methods of the run.
        devices: their data.
        state: the run's current state.
        papers: the exams.
        labels: the candidates: the method of every scored label, None for the frozen model.
    """
    rounds = range(state.round, config.train.rounds)
    training = speed.training * _tokens_left(config, methods, devices, state, len(rounds))
    every = config.eval.every
    sittings = 1 + sum(1 for number in rounds if number and every is not None and number % every == 0)
    scoring = sum(
        speed.scoring * _tokens_of_exam(paper) * _distinct(config, method, len(devices))
        for paper in papers
        for method in labels.values()
    )
    writes = config.eval.write and any(paper.written for paper in papers)
    return Duration(training, sittings * scoring, writes)


class Forecast:
    """Compares a run's rounds with the forecast, and reports rounds that take much longer or less.

    Args:
        duration: the forecast.
        rounds: how many rounds it covers.
    """

    def __init__(self, duration: Duration, rounds: int) -> None:
        self._round = duration.training / max(1, rounds)
        self._left = rounds

    def correct(self, seconds: float) -> str | None:
        """Record a round that took ``seconds``; return a sentence if the forecast was off by half."""
        self._left -= 1
        off = seconds / self._round if self._round > 0 else 1.0
        if 1 / OFF < off < OFF or abs(seconds - self._round) < 1 or self._left < 1:
            return None
        said, self._round = self._round, seconds
        return (
            f"time: the round took {clock_text(seconds)} instead of {clock_text(said)}, so training needs about "
            f"{clock_text(seconds * self._left)} more"
        )


def writing_seconds(base: Base, prompts: Sequence[tuple[int, ...]], writing: Writing, micro_tokens: int) -> float:
    """Return the most seconds that the frozen model may take to write one answer to each of ``prompts``.

    It is timed on a few of them with a few tokens each; answers that end early take less.
    """
    few = [Ask((), prompt=prompt) for prompt in prompts[:8]]
    short, longer = Writing(1, writing.stops), Writing(1 + STEPS, ())
    reading = _second(lambda: generate(base, few, short, micro_tokens))
    started = time.perf_counter()
    generate(base, few, longer, micro_tokens)
    step = max(0.0, time.perf_counter() - started - reading) / STEPS
    return (reading + step * writing.tokens) * writing.samples * len(prompts) / len(few)


def clock_text(seconds: float) -> str:
    """Return a duration as text: seconds below two minutes, minutes below two hours, else hours and minutes."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _second(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes the second time: the first run loads code and buffers."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _tokens_left(
    config: RunConfig, methods: Sequence[Method], devices: Sequence[DeviceData], state: FederationState, rounds: int
) -> float:
    """Return the training tokens of ``rounds`` rounds; those of full fine-tuning count :data:`FULL` times.

    The next :data:`LOOK` steps represent all: a run may have millions.
    """
    steps, batch = rounds * config.train.steps, config.train.batch
    first, looked = state.round * config.train.steps, min(steps, LOOK)
    lengths = [
        sum(len(row.tokens) for step in range(looked) for row in device.batch(first + step, batch))
        for device in devices
    ]
    tokens = sum(
        (FULL if kind == "full" else 1.0) * sum(lengths[device] for device in who)
        for kind, keys in distinct_jobs(config, methods, state, len(devices)).items()
        for who, *_ in keys
    )
    return tokens * steps / looked if looked else 0.0


def _tokens_of_exam(paper: Exam) -> int:
    """Return the tokens of a pass over every question: its prompt once, its options side by side."""
    return sum(rows[0].prompt + sum(row.answer for row in rows) for rows in paper.rows)


def _distinct(config: RunConfig, method: Method | None, devices: int) -> int:
    """Return how many devices give answers of their own."""
    free = config.radio is None and config.graph.kind == "full"
    if method is None or len(method.rows(0, devices)) > 1 or (free and method.sharing.sends):
        return 1
    return devices
