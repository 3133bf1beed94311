"""The results of one run, as its folder holds them: ``results.json``, loaded and validated.

This is the reading side of the contract in ``docs/results-format.md``. Everything else in this package works
on :class:`Results`, never on raw JSON, so a damaged or foreign file ends in one sentence here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meshtune.errors import UserError
from meshtune.learning.measures import metrics_in

FORMAT = "meshtune-results"
VERSION = 1
BYTE_KINDS = ("values", "masks", "router", "control", "relayed")
REPEATED = "repeated"  # a further kind, of runs whose air lost packets


class Row(BaseModel):
    """One device's mean score on one task under one method.

    Attributes:
        value: mean over ``n`` questions; stderr: its standard error, None where ``n`` is too small for one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    method: str
    seed: int
    round: int
    device: int
    task: str
    metric: str
    value: float
    n: int = Field(ge=1)
    stderr: float | None = None


class ClockTotals(BaseModel):
    """What a method's virtual clock came to, where a run has a radio; joules and airtime over all devices."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    seconds: float
    joules: float
    airtime: float
    outages: int
    per_round: dict[str, list[float]] = Field(default_factory=dict)


class NetworkFacts(BaseModel):
    """Who exchanged with whom over the air in the first round, and where devices stood at the start.

    Attributes:
        clusters: the devices of every cluster; ``collision_measured``: how often their masks collide.
        payload_bytes: the update that clusters were formed for.
        links: pairs of devices between clusters.
        within: pairs within clusters, and the bit/s that each could carry.
        refused: pairs of neighbours in different clusters, and the bound that keeps them apart.
        positions: x and y of every device, m.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    clusters: list[list[int]]
    collision_measured: list[float]
    payload_bytes: int
    links: list[tuple[int, int]]
    within: list[tuple[int, int, float]] = Field(default_factory=list)
    refused: list[tuple[int, int, str]] = Field(default_factory=list)
    positions: list[tuple[float, float]]


class RateUsed(BaseModel):
    """The highest learning rate of a method.

    Attributes:
        key: of the configuration that gave it.
        value: the rate.
        found: whether the run looked for it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    key: str
    value: float
    found: bool = False


class MethodCost(BaseModel):
    """What a method trained and sent.

    Attributes:
        lr: its learning rate; None in older files.
        parameters_updated: trained scalars of one device.
        bytes: what left all devices in the whole run, by kind.
        payload_bytes: one steady-state update of one device.
        clock: time and energy over the air; None where links were free.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    lr: RateUsed | None = None
    parameters_updated: int = 0
    bytes: dict[str, int] = Field(default_factory=dict)
    payload_bytes: int = 0
    clock: ClockTotals | None = None


class RouterScore(BaseModel):
    """How well a router recognises the task of a prompt; ``confusion`` has the truth in its rows.

    There is neither confusion nor accuracy of a router that decides token by token.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    template: str = "shared"
    groups: list[str]
    confusion: list[list[float]] | None = None
    accuracy: float | None = None
    accuracy_merged: float | None = None
    regret: float | None = None
    regret_stderr: float | None = None
    log_loss: float | None = None
    temperature: float | None = None


class Header(BaseModel):
    """What the run was: configuration, versions, model, groups, and what each method cost.

    Attributes:
        exams: the name of every exam and the group that learnt for it; empty where each task is its own.
        exam: the signature that the scores behind the rows carry in ``scores.jsonl``.
        network: who exchanged with whom over the air; None where links were free.
        curves: per method a point for every scored round: ``round``, ``seconds``, ``joules`` and metrics.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    config: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    groups: dict[str, list[int]] = Field(default_factory=dict)
    exams: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    exam: str | None = None
    network: NetworkFacts | None = None
    curves: dict[str, list[dict[str, float]]] = Field(default_factory=dict)
    methods: dict[str, MethodCost] = Field(default_factory=dict)
    router: dict[str, RouterScore] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: int | None = None


class Results(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    format: Literal["meshtune-results"]
    version: Literal[1]
    header: Header
    rows: list[Row]

    @property
    def methods(self) -> list[str]:
        """The methods with rows, in the order of the file."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def tasks(self) -> list[str]:
        """The tasks with rows, in the order of the file."""
        return list(dict.fromkeys(row.task for row in self.rows))

    @property
    def metrics(self) -> list[str]:
        """The measures with rows."""
        return metrics_in(row.metric for row in self.rows)

    @property
    def devices(self) -> list[int]:
        """The devices with rows, by id."""
        return sorted({row.device for row in self.rows})

    def owners(self, task: str) -> list[int]:
        """Return the devices that learnt for the exam called ``task``."""
        return self.header.groups.get(self.header.exams.get(task, task), [])

    def final(self, method: str, metric: str) -> list[Row]:
        """Return the rows of ``method`` and ``metric`` after its last round."""
        rows = [row for row in self.rows if row.method == method and row.metric == metric]
        last = max((row.round for row in rows), default=0)
        return [row for row in rows if row.round == last]

    def cell(self, method: str, task: str, metric: str) -> tuple[float, float] | None:
        """Return (mean over devices, standard error) of one task, or None where there is no row.

        Devices answer the same questions, so their errors do not average out: the standard error is the mean
        of the devices' own, which is exact when all answer alike and an upper bound otherwise.
        """
        rows = [row for row in self.final(method, metric) if row.task == task]
        if not rows:
            return None
        errors = [math.nan if row.stderr is None else row.stderr for row in rows]
        return sum(row.value for row in rows) / len(rows), sum(errors) / len(rows)

    def questions(self, task: str) -> int:
        """Return how many questions the task's exam has: the most that anyone answered."""
        return max((row.n for row in self.rows if row.task == task), default=0)

    def short(self, method: str, task: str) -> bool:
        """Return whether some device answered only part of the task's questions under ``method``."""
        asked = self.questions(task)
        return any(row.n < asked for row in self.rows if row.method == method and row.task == task)

    def tasks_with(self, metric: str) -> list[str]:
        """Return the tasks that are measured by ``metric``: not all have all measures."""
        return [task for task in self.tasks if any(row.task == task and row.metric == metric for row in self.rows)]

    def average(self, method: str, metric: str) -> tuple[float, float] | None:
        """Return (mean over the tasks with ``metric``, standard error), tasks weighing the same.

        None unless each of them has rows, and all of these answer all questions: others are not comparable.
        """
        tasks = self.tasks_with(metric)
        if any(self.short(method, task) for task in tasks):
            return None
        cells = [self.cell(method, task, metric) for task in tasks]
        known = [cell for cell in cells if cell is not None]
        if not known or len(known) < len(cells):
            return None
        error = math.sqrt(sum(cell[1] ** 2 for cell in known)) / len(known)
        return sum(cell[0] for cell in known) / len(known), error

    @property
    def best(self) -> str | None:
        """The method that counts as 100% of the gain: dense LoRA experts by oracle, else sparse ones."""
        return next((name for name in ("hard_moe_lora", "hard_moe") if name in self.methods), None)

    def share_of_gain(self, method: str, scale: Results | None = None) -> float | None:
        """Return (frozen - method) / (frozen - best) on the task-averaged NLL.

        Frozen and best are those of ``scale``, another run of the same exam, where that is given. None where one of
        them is missing or best gained nothing, so that no share is defined.
        """
        scale = scale or self
        frozen, own = scale.average("frozen", "nll"), self.average(method, "nll")
        best = scale.average(scale.best, "nll") if scale.best is not None else None
        if frozen is None or own is None or best is None or not frozen[0] > best[0]:
            return None
        return (frozen[0] - own[0]) / (frozen[0] - best[0])


def load_results(path: Path) -> Results:
    """Read the results of the run folder (or ``results.json`` file) ``path``.

    Raises:
        UserError: there is no such file, it is not JSON, or it is not of this format and version.
    """
    file = path / "results.json" if path.is_dir() else path
    if not path.exists():
        raise UserError(f"there is no run {path}: give the folder that meshtune run printed")
    if not file.is_file():
        raise UserError(f"{path} has no results.json: finish the run first, by repeating its command")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not JSON ({error}): run meshtune eval to write it again") from error
    return parse_results(raw, str(file))


def parse_results(raw: Any, where: str) -> Results:
    """Validate the content of a ``results.json``; ``where`` names it in errors.

    Raises:
        UserError: it is not of this format and version, or an entry is missing or of the wrong type.
    """
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UserError(f"{where} is not a {FORMAT} file: give the results.json of a run")
    if raw.get("version") != VERSION:
        raise UserError(
            f"{where} has version {raw.get('version')} of the format, this meshtune reads {VERSION}: "
            "use the meshtune that wrote it"
        )
    try:
        return Results.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{where} is damaged at {key} ({first['msg'].lower()}): run meshtune eval to write it again"
        ) from error
