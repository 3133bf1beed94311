"""The whole configuration of a run, validated once.

Each part's settings are typed next to the code that uses them; this module joins them, reads files
(:mod:`meshtune.config.yaml_reader`) and ``key=value`` overrides, and turns every mistake into one sentence
(:mod:`meshtune.config.config_errors`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from meshtune.adapter.config import AdapterConfig
from meshtune.config.config_errors import SHOWN, sentence, setting_shown
from meshtune.config.learning_config import EvalConfig, ModelConfig, TrainConfig
from meshtune.config.yaml_reader import parse_yaml, read_yaml
from meshtune.errors import UserError
from meshtune.files import shown_path
from meshtune.methods.config import PaperConfig
from meshtune.methods.registry import check_method
from meshtune.printable import printable
from meshtune.routing.config import RouterConfig
from meshtune.settings import Seed, Settings, Within
from meshtune.topology.config import ClusterConfig, GraphConfig
from meshtune.wire.value_forms import BITS, BLOCKS
from meshtune.wireless.config import ComputeConfig, PlaceConfig, RadioConfig

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
        values: ``bfloat16`` or ``float32``: plain values; ``int8`` or ``int4``: each version as a quantised delta from
            the previous one.
        block: values that share a scale, in int8 and int4.
    """

    values: Literal["float32", "bfloat16", "int8", "int4"] = "bfloat16"
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


class RunConfig(Settings):
    """Everything that determines a run, besides the code and the data.

    Attributes:
        seed: of every named random stream.
        federation_seed: of the shared projections A; part of what devices announce.
        data: folder with a sub-folder per task, ``hub``, or None for $MESHTUNE_DATA, then the hub.
        template: ``shared`` (one for all tasks) or ``own`` (each task's customary one).
        validation: rows held out from every training split and never trained on; None for a tenth of it, 100 at most.
        leaked_rows: what to do with training rows that an exam also asks: ``refuse`` (a few are left out of training),
            ``leave_out`` however many, or ``keep``.
        methods: methods to run side by side.
        graph: which devices are linked: over free links, or with a radio in a single cluster.
        radio: the radio that carries the exchange; None for free links that never fail, over ``graph``.
        places: positions of the devices, with a radio.
        compute: time and energy of training, with a radio.
        clusters: how clusters are formed, with a radio.
        round_seconds: T_round, after which a round ends for all; None for the slowest planned compute + 1.5 Gamma.
        faults: what goes wrong on purpose, with a radio.
    """

    seed: Seed = 0
    federation_seed: Seed = 0
    model: ModelConfig = ModelConfig()
    data: str | None = None
    tasks: tuple[TaskConfig, ...] = Field(min_length=1)
    template: Literal["shared", "own"] = "shared"
    validation: int | None = Field(None, ge=0)
    leaked_rows: Literal["refuse", "leave_out", "keep"] = "refuse"
    devices: DevicesConfig = DevicesConfig()
    adapter: AdapterConfig = AdapterConfig()
    router: RouterConfig = RouterConfig()
    paper: PaperConfig = PaperConfig()
    train: TrainConfig = TrainConfig()
    graph: GraphConfig = GraphConfig()
    exchange: ExchangeConfig = ExchangeConfig()
    radio: RadioConfig | None = None
    places: PlaceConfig = PlaceConfig()
    compute: ComputeConfig = ComputeConfig()
    clusters: ClusterConfig = ClusterConfig()
    round_seconds: Annotated[float, Within(1e-6, 1e9, "s")] | None = None
    faults: FaultsConfig = FaultsConfig()
    eval: EvalConfig = EvalConfig()
    methods: tuple[str, ...] = Field(("proposed", "lora", "hard_moe", "local"), min_length=1)

    @model_validator(mode="after")
    def _not_too_many(self) -> RunConfig:
        if self.devices.count is None and self.devices.per_task * len(self.tasks) > MOST_DEVICES:
            raise ValueError(
                f"devices.per_task={self.devices.per_task} of {len(self.tasks)} tasks are more than {MOST_DEVICES:,} "
                "devices: lower it, or set devices.count"
            )
        return self

    @model_validator(mode="after")
    def _one_way_through_the_air(self) -> RunConfig:
        if self.radio is not None and self.clusters.kind == "agnes" and self.graph != GraphConfig():
            raise ValueError(
                f"graph.kind={self.graph.kind}, graph.neighbours={self.graph.neighbours}, graph.relay="
                f"{str(self.graph.relay).lower()}: with a radio its clusters are the graph, so set "
                "clusters.kind=single to link devices by graph.kind, or leave out graph or radio"
            )
        if self.radio is None and self.graph.kind == "geometric":
            raise ValueError(
                "graph.kind=geometric links devices by where they are, and places belong to the radio: set radio={} "
                "and clusters.kind=single, or take another kind"
            )
        if self.radio is None and self.faults != FaultsConfig():
            raise ValueError("faults need a radio and its clock: set radio={}, or leave faults out")
        if self.radio is None and self.round_seconds is not None:
            raise ValueError(
                f"round_seconds={self.round_seconds:g} needs a radio and its clock: set radio={{}}, or leave it out"
            )
        if self.radio is None and self.adapter.density == "planned":
            raise ValueError(
                "adapter.density=planned needs a radio, for what a link carries bounds it: set radio={}, or give a "
                "number in (0, 1]"
            )
        if self.radio is None and self.clusters.masks == "negotiated":
            raise ValueError(
                "clusters.masks=negotiated needs a radio and its clusters: set radio={}, or clusters.masks=own"
            )
        if self.clusters.reform is not None and self.places.mobility == "static":
            raise ValueError(
                f"clusters.reform={self.clusters.reform} forms clusters anew as devices move, and these stand still "
                "(places.mobility=static): leave it out, or set places.mobility=waypoint"
            )
        return self

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check_method(name) for name in value))

    @field_validator("train")
    @classmethod
    def _known_rates(cls, value: TrainConfig) -> TrainConfig:
        for name in value.rates:
            check_method(name)
        return value

    @field_validator("tasks")
    @classmethod
    def _distinct_keys(cls, value: tuple[TaskConfig, ...]) -> tuple[TaskConfig, ...]:
        keys = [task.key for task in value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"the task key {twice} appears twice: use devices.per_task for several devices a task")
        names = [*keys, *(name for task in value for name in task.also)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two exams are called {twice}: take it out of also, or give the task another key")
        return value

    @field_validator("tasks")
    @classmethod
    def _learnable(cls, value: tuple[TaskConfig, ...]) -> tuple[TaskConfig, ...]:
        from meshtune.tasks.registry import get_task

        for task in value:
            if "train" not in get_task(task.task).splits and not task.train:
                raise ValueError(
                    f"{task.task} is for testing only: name it in the also of a task, for example "
                    f"{{task: mbpp, also: [{task.task}]}}, or give it a train file"
                )
        return value

    @property
    def device_tasks(self) -> list[TaskConfig]:
        """The task of every device, in the order of device ids."""
        count = self.devices.count or self.devices.per_task * len(self.tasks)
        return [self.tasks[i % len(self.tasks)] for i in range(count)]

    @property
    def unlearnt(self) -> list[str]:
        """The keys of tasks that no device has: they are asked, but no device learns them."""
        taken = {task.key for task in self.device_tasks}
        return [task.key for task in self.tasks if task.key not in taken]

    @property
    def exams(self) -> dict[str, str]:
        """The name of every exam and the key of the task that teaches it: a task's own, then those in its ``also``.

        Held-out rows belong to the task itself, so a validation leaves out the further exams.
        """
        further = self.eval.split == "test"
        return {name: task.key for task in self.tasks for name in (task.key, *(task.also if further else ()))}


Overrides = Sequence[str] | Mapping[str, Any]
"""Settings that override others: ``key=value`` texts, with values read as YAML, or values by dotted key."""


def load_config(
    source: Path | str | Mapping[str, Any] | None, overrides: Overrides = (), where: str | None = None
) -> RunConfig:
    """Return the configuration in a YAML file or a mapping, checked.

    Args:
        source: the file; or keys and values, which are copied; None to start from nothing.
        overrides: applied in order: ``["train.rounds=2"]``, or ``{"train.rounds": 2}``.
        where: the source's name in errors, if not its path.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown (names the nearest) or given twice, or a
            value is impossible.
    """
    if source is None or isinstance(source, Mapping):
        return override(deepcopy(dict(source or {})), overrides, where or "the configuration")
    file = Path(source)
    tree: Any = read_yaml(file, "configuration file")
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        kind = type(tree).__name__
        raise UserError(f"{shown_path(file)} holds a {kind}: a configuration is a mapping of keys to values")
    return override(tree, overrides, where or shown_path(file))


def override(tree: dict[str, Any], overrides: Overrides, where: str) -> RunConfig:
    """Apply ``overrides`` to ``tree``, in place, and validate; ``where`` names its origin in errors.

    Raises:
        UserError: the first mistake, in one sentence.
    """
    if isinstance(overrides, Mapping):
        given = {f"{key}={value}": (key, deepcopy(value)) for key, value in overrides.items()}
        for text, (key, value) in given.items():
            _put(tree, key, value, text)
        return validate(tree, where, list(given))
    for text in overrides:
        _put(tree, *_parsed(text), text)
    return validate(tree, where, overrides)


def validate(tree: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration in ``tree``.

    Args:
        tree: keys and values.
        where: names its origin in errors.
        overrides: the overrides applied to it; if the mistake is in one of them, that one is named instead.

    Raises:
        UserError: the first mistake, in one sentence.
    """
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError(sentence(RunConfig, error, where, overrides)) from error


def expand(path: str) -> str:
    """Return ``path`` with ``~`` and $VARIABLES expanded.

    Raises:
        UserError: a variable is not set.
    """
    full = os.path.expandvars(os.path.expanduser(path))
    if "$" in full:
        raise UserError(f"{path} names an environment variable that is not set: set it or give a path")
    return full


def _parsed(override: str) -> tuple[str, Any]:
    """Return the key and the value of ``key=value``."""
    name, sign, text = override.partition("=")
    if not sign or not name:
        raise UserError(
            f"`overrides` {printable(override, SHOWN)} is not key=value, for example the setting `train.rounds=2`"
        )
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{setting_shown(override)}: the value is not valid YAML: {error}") from error
    return name, _number(value) if isinstance(value, str) else value


def _put(tree: dict[str, Any], key: str, value: Any, shown: str) -> None:
    """Store ``value`` under the dotted ``key``; errors name both as ``shown``."""
    *path, last = key.split(".")
    node = tree
    for part in path:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise UserError(f"{setting_shown(shown)}: {printable(part, SHOWN)} is not a group of keys")
    node[last] = value


def _number(text: str) -> Any:
    """YAML 1.1 reads 1e-3 as text; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text
