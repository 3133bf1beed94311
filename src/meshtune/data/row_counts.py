"""Notes on a run's rows before training: how many there are, and how many exceed the length limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData, Exam
from meshtune.model.encoding import Row, encode
from meshtune.tasks.base import Question


def counts_note(
    devices: Sequence[DeviceData], pools: Mapping[str, Sequence[Question]], asked: Mapping[str, Sequence[Question]]
) -> str:
    """Return the sentence that says how many rows each device trains on, and how many each exam asks."""
    held = [f"{group} {_span(counts)}" for group, counts in _by_group(devices).items()]
    exams = [f"{name} {len(questions)} of {len(pools[name])}" for name, questions in asked.items()]
    return f"training rows of a device: {', '.join(held)}; questions of each exam: {', '.join(exams)}"


def _by_group(devices: Sequence[DeviceData]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for device in devices:
        found.setdefault(device.group, []).append(device.samples)
    return found


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    of = f" ({len(counts)} devices)" if len(counts) > 1 else ""
    return f"{low}{of}" if low == high else f"{low} to {high}{of}"


@dataclass
class _Cut:
    """Counts of rows of one kind that were too long.

    Attributes:
        rows: all rows.
        cut: rows that were truncated; answers: rows whose answer was truncated.
        tokens: tokens of all rows before; lost: tokens cut off.
    """

    rows: int = 0
    cut: int = 0
    answers: int = 0
    tokens: int = 0
    lost: int = 0

    def add(self, tokenizer: Any, question: Question, options: Sequence[str], rows: Sequence[Row], limit: int) -> None:
        """Count one question, whose ``options`` became ``rows`` of at most ``limit`` tokens."""
        # One below the limit: a row truncated at its end is trained on without its end token.
        long = any(len(row.tokens) >= limit - 1 for row in rows)
        whole = [encode(tokenizer, question.prompt, option) for option in options] if long else rows
        pairs = list(zip(whole, rows, strict=True))
        answers = sum(max(0, before.answer - after.answer) for before, after in pairs)
        lost = answers + sum(max(0, before.prompt - after.prompt) for before, after in pairs)
        self.rows += 1
        self.cut += lost > 0
        self.answers += answers > 0
        self.lost += lost
        self.tokens += sum(len(before.tokens) for before in whole)

    def text(self, kind: str, limit: int) -> str | None:
        """Return the note, if any."""
        if not self.cut:
            return None
        share = self.lost / self.tokens
        hit = f"answers are cut in {self.answers} of them" if self.answers else "no answer is cut"
        return (
            f"{self.cut} of {self.rows} {kind} are longer than train.max_tokens={limit} and are cut, prompts from "
            f"their beginning: {share:.1%} of all tokens are lost, and {hit}"
        )

    def facts(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "rows": self.rows,
            "cut": self.cut,
            "answers_cut": self.answers,
            "tokens": self.tokens,
            "lost": self.lost,
        }


def cut_rows(
    config: RunConfig, devices: Sequence[DeviceData], papers: Sequence[Exam]
) -> tuple[list[str], dict[str, dict[str, dict[str, int]]]]:
    """Return the notes on truncated rows, and the counts by task key or exam.

    Training rows are those that the run will train on; a device does not tokenise rows that it never reaches.
    """
    limit = config.train.max_tokens
    trained: dict[str, _Cut] = {}
    for device in devices:
        count = trained.setdefault(device.group, _Cut())
        for number in device.used(config.train.rounds * config.train.steps, config.train.batch):
            question = device.questions[number]
            right = question.options[question.answer]
            count.add(device.tokenizer, question, [right], [device.row(number)], limit)
    tested: dict[str, _Cut] = {}
    tokenizer = devices[0].tokenizer
    for paper in papers:
        count = tested.setdefault(paper.name, _Cut())
        for question, rows in zip(paper.questions, paper.rows, strict=True):
            count.add(tokenizer, question, question.options, rows, limit)
    notes = [cut.text(f"training rows of {name}", limit) for name, cut in trained.items()]
    notes += [cut.text(f"questions of {name}", limit) for name, cut in tested.items()]
    facts: dict[str, dict[str, dict[str, int]]] = {}
    for kind, cuts in (("cut_training", trained), ("cut_asked", tested)):
        for name, cut in cuts.items():
            facts.setdefault(name, {})[kind] = cut.facts()
    return [note for note in notes if note is not None], facts
