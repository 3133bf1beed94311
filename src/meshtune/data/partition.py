"""Each device's share of the data, and the exam of every device.

The training split of a task is shuffled once, its first rows are held out for choosing settings, and the rest is
distributed so that devices of one task hold disjoint rows. Rows are tokenised on first use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.data.pools import Pools, exam_rows, gather
from meshtune.errors import UserError
from meshtune.model.encoding import Row, encode_prompt, encode_question, encode_training
from meshtune.seeds import stream
from meshtune.tasks.base import Question, Task
from meshtune.tasks.registry import get_task


@dataclass
class DeviceData:
    """One device's training questions.

    Attributes:
        device: its id.
        group: its task key.
        questions: its own training questions.
        seed: the run's seed.
        limit: longest row in tokens.
        aside: held-out questions of its task, for choosing settings; may be empty.
    """

    device: int
    group: str
    questions: Sequence[Question]
    seed: int
    limit: int
    tokenizer: Any
    aside: Sequence[Question] = ()
    _rows: dict[int, Row] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """N_i."""
        return len(self.questions)

    def row(self, number: int) -> Row:
        """Return the tokenised prompt and right answer of question ``number``."""
        if number not in self._rows:
            self._rows[number] = encode_training(self.tokenizer, self.questions[number], self.limit)
        return self._rows[number]

    def batch(self, step: int, size: int) -> list[Row]:
        """Return the rows of optimiser step ``step``: consecutive epochs, each in its own random order."""
        rows = []
        for position in range(step * size, (step + 1) * size):
            epoch, at = divmod(position, self.samples)
            order = stream(self.seed, "device", self.device, "epoch", epoch).permutation(self.samples)
            rows.append(self.row(int(order[at])))
        return rows

    def used(self, steps: int, size: int) -> list[int]:
        """Return the numbers of the questions in the first ``steps`` optimiser steps."""
        if steps * size >= self.samples:
            return list(range(self.samples))
        order = stream(self.seed, "device", self.device, "epoch", 0).permutation(self.samples)
        return [int(at) for at in order[: steps * size]]

    def calibration(self, batches: int, size: int) -> list[list[Row]]:
        """Return the mini-batches for calibrating the mask, from their own random stream."""
        draw = stream(self.seed, "device", self.device, "calibration")
        return [[self.row(int(i)) for i in draw.integers(self.samples, size=size)] for _ in range(batches)]

    def held(self, count: int) -> list[Row]:
        """Return ``count`` rows to judge settings by: held-out ones, or the device's last ones if there are none."""
        chosen = self.aside[:count] or self.questions[-count:]
        return [encode_training(self.tokenizer, question, self.limit) for question in chosen]

    def prompts(self, count: int) -> list[tuple[int, ...]]:
        """Return the prompts of the first ``count`` questions, tokenised."""
        return [encode_prompt(self.tokenizer, q.prompt, self.limit) for q in self.questions[:count]]

    def held_prompts(self) -> list[tuple[int, ...]]:
        """Return the prompts of the held-out questions, tokenised."""
        return [encode_prompt(self.tokenizer, q.prompt, self.limit) for q in self.aside]


def digest(devices: Sequence[DeviceData]) -> str:
    """Return a hash of all training questions, device by device: equal for equal data."""
    return _hash((data.device, q) for data in devices for q in data.questions)


def exam_digest(asked: Mapping[str, Sequence[Question]]) -> str:
    """Return a hash of the questions of all exams, in order: equal for equal questions."""
    return _hash((name, q) for name, questions in asked.items() for q in questions)


def _hash(placed: Iterable[tuple[int | str, Question]]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for place, q in placed:
        state.update(repr((place, q.id, q.prompt, q.options, q.answer)).encode(errors="surrogatepass"))
    return state.hexdigest()


@dataclass(frozen=True)
class Exam:
    """The test questions of one task.

    Attributes:
        name: the task key, or a name in the task's ``also``.
        group: the key of the task that teaches it.
        questions: the questions asked.
        rows: per question one row per option.
        prompts: per question its prompt's tokens.
    """

    name: str
    group: str
    questions: Sequence[Question]
    rows: Sequence[Sequence[Row]]
    prompts: Sequence[tuple[int, ...]]

    @property
    def task(self) -> Task:
        """The task of the questions."""
        return get_task(self.questions[0].task)

    @property
    def written(self) -> bool:
        """Whether answers are written instead of chosen."""
        return self.questions[0].written


def deal(config: RunConfig, tokenizer: Any = None, pools: Pools | None = None) -> list[DeviceData]:
    """Return every device's training data; the tokenizer may be set later, before the first row is used.

    Args:
        config: the run's settings.
        tokenizer: of the base model.
        pools: the result of :func:`meshtune.data.pools.gather`, if it was called before.

    Raises:
        UserError: a split is missing, broken or too small for its devices.
    """
    pools = gather(config) if pools is None else pools
    shares: dict[str, list[Sequence[Question]]] = {}
    for task in config.tasks:
        holders = sum(t.key == task.key for t in config.device_tasks)
        if not holders:
            continue
        rows = pools.train[task.key]
        if len(rows) < holders:
            facts = pools.facts[task.key]
            leaked = sum(facts.get("leaked", {}).values())
            why = f"{facts['validation']} were set aside"
            remedy = "lower validation or give it more rows"
            if leaked:
                why += f" and {leaked}, which an exam asks too, were left out"
                remedy = "give other training or test rows"
            raise UserError(
                f"task {task.key}: {len(rows)} training rows are left for {holders} devices after {why}: {remedy}"
            )
        shares[task.key] = [rows[i::holders][: config.train.rows] for i in range(holders)]
    return [
        DeviceData(
            i, task.key, shares[task.key].pop(0), config.seed, config.train.max_tokens, tokenizer, pools.aside[task.key]
        )
        for i, task in enumerate(config.device_tasks)
    ]


def exam_questions(config: RunConfig, pools: Pools | None = None) -> dict[str, list[Question]]:
    """Return each exam's questions: ``eval.questions`` questions of ``eval.split``, in a fixed random order.

    Raises:
        UserError: a split is missing or broken.
    """
    rows = exam_rows(config) if pools is None else pools.exams
    return {name: list(found[: config.eval.questions]) for name, found in rows.items()}


def exams(config: RunConfig, tokenizer: Any, asked: Mapping[str, Sequence[Question]] | None = None) -> list[Exam]:
    """Return every exam, tokenised.

    Args:
        config: the run's settings.
        tokenizer: of the base model.
        asked: the result of :func:`exam_questions`, if it was called before; otherwise it is called, with its errors.
    """
    limit = config.train.max_tokens
    return [
        Exam(
            name,
            config.exams[name],
            questions,
            [encode_question(tokenizer, q, limit) for q in questions],
            [encode_prompt(tokenizer, q.prompt, limit) for q in questions],
        )
        for name, questions in (exam_questions(config) if asked is None else asked).items()
    ]
