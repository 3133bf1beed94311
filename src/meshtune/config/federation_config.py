"""Settings of the federation: its tasks, its devices, how values are sent, and faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from meshtune.printable import printable
from meshtune.settings import Settings, Within
from meshtune.wire.value_forms import BITS, BLOCKS

MOST_DEVICES = 200_000
"""The most devices of a plan or a run: twice as many as the largest tested plan (docs/scaling.md)."""


class TaskConfig(Settings):
    """One task that devices learn.

    Attributes:
        task: the schema, a name of ``meshtune tasks``.
        source: where its splits are: a folder, ``hub``, or None for the run's ``data``.
        train: a file to train on instead of the source's train split.
        test: a file to test on instead of the source's test split.
        key: the declared task key: devices with equal keys form a task group. Defaults to ``task``.
        also: further tasks that the group is tested on, from the run's ``data``; nothing is learnt from them.
    """

    task: str
    source: str | None = None
    train: str | None = None
    test: str | None = None
    key: str = ""
    also: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_key(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"task": value}
        if isinstance(value, Mapping) and not value.get("key") and isinstance(value.get("task"), str):
            value = {**value, "key": value["task"]}
        return value

    @field_validator("key")
    @classmethod
    def _shows(cls, value: str) -> str:
        if printable(value, 100) != value or value != value.strip():
            raise ValueError("a key is shown in tables: give up to 100 characters on one line, no spaces around them")
        return value

    @field_validator("task")
    @classmethod
    def _known(cls, value: str) -> str:
        from meshtune.tasks.registry import get_task

        return get_task(value).name

    @field_validator("also")
    @classmethod
    def _known_too(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._known(name) for name in value)


class DevicesConfig(Settings):
    """How many devices there are. They take the tasks in turn; devices of one task get disjoint training rows.

    Attributes:
        per_task: devices per task.
        count: number of devices in all; None for ``per_task`` times the number of tasks.
    """

    per_task: Annotated[int, Within(1, MOST_DEVICES)] = 1
    count: Annotated[int, Within(1, MOST_DEVICES)] | None = None


class ExchangeConfig(Settings):
    """How values are sent.

    Attributes:
        values: ``bfloat16`` or ``float32``: plain values; ``int8``, ``int4`` or ``int2``: each version as a quantised
            delta from the previous one.
        block: values that share a scale, in int8, int4 and int2.
    """

    values: Literal["float32", "bfloat16", "int8", "int4", "int2"] = "bfloat16"
    block: int = Field(128, ge=BLOCKS[0], le=BLOCKS[1])

    @property
    def differences(self) -> bool:
        """Whether an update is a delta from the previous one."""
        return self.values in BITS


class FaultsConfig(Settings):
    """Faults, drawn from the run's seed for every device and round.

    Attributes:
        dropout: probability that a device is away for a round: it neither sends nor receives.
        late: probability that a device computes ``slowdown`` times as long in a round.
        slowdown: the factor by which it takes longer.
    """

    dropout: float = Field(0.0, ge=0, lt=1)
    late: float = Field(0.0, ge=0, le=1)
    slowdown: Annotated[float, Within(1, 1e6)] = 4.0
