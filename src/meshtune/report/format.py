"""The entries of ``results.json``, as documented in ``docs/results-format.md``: rows, and the parts of the header."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from meshtune.evaluation.intervals import Sample, mean_over

FORMAT = "meshtune-results"
VERSION = 1
BYTE_KINDS = ("values", "masks", "router", "control", "relayed")
FURTHER_KINDS = ("repeated", "inventory", "transfer")  # listed only if present: see meshtune.wire.ledger


class ResultRow(BaseModel):
    """One device's mean score on one task under one method.

    Attributes:
        value: mean over ``n`` questions; stderr: its standard error, None if ``n`` is too small for one.
        cores: how many different cores the questions have; None in older files, where all count as different.
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
    cores: int | None = Field(default=None, ge=1)
    stderr: float | None = None

    @property
    def sample(self) -> Sample:
        """The sample behind its interval."""
        return Sample.reported(self.value, self.stderr, self.n, self.cores)

    @property
    def interval(self) -> dict[str, float | None]:
        """The ends of its 95% interval, None if unknown."""
        found = mean_over([self.sample], self.metric)
        return {"low": None, "high": None} if math.isnan(found.low) else {"low": found.low, "high": found.high}


class ClockTotals(BaseModel):
    """A method's totals on the virtual clock, for a run with a radio; joules and airtime over all devices."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    seconds: float
    joules: float
    airtime: float
    outages: int
    per_round: dict[str, list[float]] = Field(default_factory=dict)


class NetworkFacts(BaseModel):
    """Clusters and links over the air in the first round, and the devices' positions at the start.

    Attributes:
        clusters: the devices of every cluster; ``collision_measured``: how often their masks collide.
        payload_bytes: size of the update that clusters were formed for.
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
        key: the configuration key that set it.
        value: the rate.
        found: whether the run searched for it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    key: str
    value: float
    found: bool = False


class MethodCost(BaseModel):
    """What a method trained and sent.

    Attributes:
        lr: its learning rate; None in older files.
        common_lr: that of a common part; None if there is none.
        parameters_updated: trained scalars of one device.
        bytes: bytes sent by all devices in the whole run, by kind.
        payload_bytes: one steady-state update of one device.
        clock: time and energy over the air; None if links were free.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    lr: RateUsed | None = None
    common_lr: RateUsed | None = None
    parameters_updated: int = 0
    bytes: dict[str, int] = Field(default_factory=dict)
    payload_bytes: int = 0
    clock: ClockTotals | None = None


class RouterScore(BaseModel):
    """How well a router recognises the task of a prompt; the rows of ``confusion`` are the true tasks.

    A router that decides token by token has neither confusion nor accuracy. ``cores`` and the two standard errors are
    there only if questions share cores.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    template: str = "shared"
    groups: list[str]
    confusion: list[list[float]] | None = None
    accuracy: float | None = None
    accuracy_merged: float | None = None
    cores: int | None = Field(default=None, ge=1)
    accuracy_stderr: float | None = None
    accuracy_merged_stderr: float | None = None
    regret: float | None = None
    regret_stderr: float | None = None
    log_loss: float | None = None
    temperature: float | None = None


class Header(BaseModel):
    """The run's configuration, versions, model and groups, and each method's costs.

    Attributes:
        exams: the name of every exam and the group that trained for it, None if no device did; empty if each task is
            its own.
        exam: the signature in ``scores.jsonl`` of the scores behind the rows.
        network: clusters and links over the air; None if links were free.
        curves: per method a point for every scored round: ``round``, ``seconds``, ``joules`` and metrics.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    config: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    groups: dict[str, list[int]] = Field(default_factory=dict)
    exams: dict[str, str | None] = Field(default_factory=dict)
    seed: int = 0
    exam: str | None = None
    network: NetworkFacts | None = None
    curves: dict[str, list[dict[str, float]]] = Field(default_factory=dict)
    methods: dict[str, MethodCost] = Field(default_factory=dict)
    router: dict[str, RouterScore] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: int | None = None

    @field_validator("model")
    @classmethod
    def _of_a_size(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("parameters") is not None and type(value["parameters"]) is not int:
            raise ValueError("parameters is no number")
        return value
