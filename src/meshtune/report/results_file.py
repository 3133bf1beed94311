"""The results of one run: its ``results.json``, loaded and validated.

This is the reading side of the contract in ``docs/results-format.md``. Everything else in this package works on
:class:`Results`, never on raw JSON, so a damaged or foreign file gives a one-sentence error here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from meshtune.errors import UserError
from meshtune.evaluation.intervals import Estimate, Sample, mean_over, same_questions
from meshtune.files import no_run
from meshtune.printable import printable
from meshtune.report.format import FORMAT, VERSION, Header, ResultRow
from meshtune.report.index import Index
from meshtune.runs import checksums as checked
from meshtune.runs.disk import read_bytes


class Results(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    format: Literal["meshtune-results"]
    version: Literal[1]
    header: Header
    rows: list[ResultRow]

    @property
    def index(self) -> Index:
        """The rows, indexed by method, task and metric."""
        found: Index | None = self.__dict__.get("index_of_rows")  # like a cached property, but
        if found is None or found.rows is not self.rows:  # a copy may have other rows
            found = self.__dict__["index_of_rows"] = Index(self.rows)
        return found

    @property
    def methods(self) -> list[str]:
        """The methods with rows, in the order of the file."""
        return self.index.methods

    @property
    def tasks(self) -> list[str]:
        """The tasks with rows, in the order of the file."""
        return self.index.tasks

    @property
    def metrics(self) -> list[str]:
        """The measures with rows."""
        return self.index.metrics

    @property
    def devices(self) -> list[int]:
        """The devices with rows, by id."""
        return self.index.devices

    def owners(self, task: str) -> list[int]:
        """Return the devices that trained for the exam called ``task``."""
        group = self.header.exams.get(task, task)
        return [] if group is None else self.header.groups.get(group, [])

    @property
    def unlearnt(self) -> list[str]:
        """The tasks that were asked but not trained on any device; none if the groups are unknown."""
        return [task for task in self.tasks if not self.owners(task)] if self.header.groups else []

    def learnt(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return those of ``records``, scorings of this run, for tasks that some device learnt."""
        without = set(self.unlearnt)
        return [record for record in records if record["task"] not in without]

    def final(self, method: str, metric: str) -> list[ResultRow]:
        """Return the rows of ``method`` and ``metric`` after its last round."""
        return self.index.final(method, metric)

    def cell(self, method: str, task: str, metric: str) -> Estimate | None:
        """Return the mean over devices of one task, or None if there is no row."""
        found = self._sample(method, task, metric)
        return None if found is None else mean_over([found], metric)

    def questions(self, task: str) -> int:
        """Return how many questions the task's exam has: the most that any device answered."""
        return self.index.asked.get(task, 0)

    def short(self, method: str, task: str) -> bool:
        """Return whether some device answered only part of the task's questions under ``method``."""
        return self.index.fewest.get((method, task), math.inf) < self.questions(task)

    def tasks_with(self, metric: str, learnt: bool = False) -> list[str]:
        """Return the tasks that ``metric`` measures: not all tasks have all measures.

        With ``learnt`` only those that some device learnt; without it the others come last.
        """
        without = set(self.unlearnt)
        known = [task for task in self.index.measured(metric) if task not in without]
        return known if learnt else known + [task for task in self.index.measured(metric) if task in without]

    def average(self, method: str, metric: str) -> Estimate | None:
        """Return the unweighted mean over the learnt tasks with ``metric``.

        None unless every task has rows, and all rows cover all questions: otherwise means are not comparable.
        """
        tasks = self.tasks_with(metric, learnt=True)
        found = [self._sample(method, task, metric) for task in tasks if not self.short(method, task)]
        known = [sample for sample in found if sample is not None]
        return mean_over(known, metric) if tasks and len(known) == len(tasks) else None

    def _sample(self, method: str, task: str, metric: str) -> Sample | None:
        rows = self.index.cell(method, metric, task)
        return same_questions([row.sample for row in rows]) if rows else None

    @property
    def best(self) -> str | None:
        """The method that counts as 100% of the gain: dense LoRA experts by oracle, else sparse ones."""
        return next((name for name in ("hard_moe_lora", "oracle", "hard_moe") if name in self.methods), None)

    def share_of_gain(self, method: str, scale: Results | None = None) -> float | None:
        """Return (frozen - method) / (frozen - best) on the task-averaged NLL.

        Frozen and best come from ``scale``, another run of the same exam, if given. None if one of them is missing, or
        if best gained nothing, so that no share is defined.
        """
        scale = scale or self
        frozen, own = scale.average("frozen", "nll"), self.average(method, "nll")
        best = scale.average(scale.best, "nll") if scale.best is not None else None
        if frozen is None or own is None or best is None or not frozen.value > best.value:
            return None
        return (frozen.value - own.value) / (frozen.value - best.value)


def load_results(path: Path) -> Results:
    """Read the results of the run folder (or ``results.json`` file) ``path``.

    Raises:
        UserError: the file is missing, not JSON, or not of this format and version.
    """
    file = path / "results.json" if path.is_dir() else path
    if not path.exists():
        raise no_run(path)
    if not file.is_file():
        raise UserError(f"{path} has no results.json: finish the run first, by repeating its command")
    try:
        raw = checked.parse(read_bytes(file))
    except ValueError as error:
        fault = printable(str(error), 100)
        raise UserError(f"{file} is not JSON ({fault}): run meshtune eval to write it again") from error
    return parse_results(raw, str(file))


def parse_results(raw: Any, where: str) -> Results:
    """Validate the content of a ``results.json``; ``where`` names it in errors.

    Raises:
        UserError: it is not of this format and version, or an entry is missing or of the wrong type.
    """
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UserError(f"{where} is not a {FORMAT} file: give the results.json of a run")
    if raw.get("version") != VERSION:
        has = printable(str(raw.get("version")), 20)
        raise UserError(
            f"{where} has version {has} of the format, this meshtune reads {VERSION}: use the meshtune that wrote it"
        )
    try:
        return Results.model_validate(checked.unsealed(raw) if checked.CHECKSUM in raw else raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = printable(".".join(str(part) for part in first["loc"]), 100)
        fault = printable(first["msg"], 100)
        raise UserError(
            f"{where} is damaged at {key} ({fault[:1].lower()}{fault[1:]}): run meshtune eval to write it again"
        ) from error
    except ValueError as error:
        raise UserError(f"{where} is damaged ({error}): run meshtune eval to write it again") from error
