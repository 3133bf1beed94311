"""The whole configuration of a run, validated once. Each part's settings are typed next to the code that uses them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from meshtune.adapter.config import AdapterConfig
from meshtune.config.federation_config import MOST_DEVICES, DevicesConfig, ExchangeConfig, FaultsConfig, TaskConfig
from meshtune.config.learning_config import EvalConfig, ModelConfig, TrainConfig
from meshtune.methods.config import PaperConfig
from meshtune.methods.registry import check_method
from meshtune.routing.config import RouterConfig
from meshtune.settings import Seed, Settings, Within
from meshtune.topology.config import ClusterConfig, GraphConfig
from meshtune.wireless.config import ComputeConfig, PlaceConfig, RadioConfig


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
    methods: tuple[str, ...] = Field(("proposed", "lora", "oracle", "local"), min_length=1)

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
