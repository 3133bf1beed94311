"""A round: what is distinct is trained once and shared, then judged, sent and mixed; who diverged is named."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flying import LAYERS, world
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import DivergedError, UserError
from meshtune.methods.base import Method
from meshtune.methods.registry import get_method
from meshtune.network.federation_state import FederationState
from meshtune.runs.events import Event, StepDone
from meshtune.runs.observer import Silent
from meshtune.simulator import rounds
from meshtune.simulator.resume import begin
from meshtune.simulator.rounds import play_round
from meshtune.training.trainer import Job

NAMES = ["bank", "local", "lora", "central"]
PLACES = [(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)]
BASE: Any = object()


class Told(Silent):
    def __init__(self) -> None:
        self.steps: list[StepDone] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, StepDone)
        self.steps.append(event)


def config() -> RunConfig:
    train = {"rounds": 3, "steps": 2, "batch": 2, "lr": 1e-3, "lora_lr": 1e-4}
    return validate({"tasks": ["boolq"], "devices": {"count": 3}, "methods": NAMES, "train": train}, "the test")


class Federation:
    """Three devices under four methods over free links; rows say whose they are and of which step."""

    def __init__(self) -> None:
        w = world("bank", PLACES)
        self.factory = w.factory
        self.methods: list[Method] = [get_method(name) for name in NAMES]
        own = [member.own for member in w.state.members["bank"]]
        graph = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
        self.state: FederationState = begin(self.methods, graph, own, LAYERS, self.factory)
        self.devices: Any = [
            SimpleNamespace(device=d, batch=lambda step, size, d=d: [(d, step)] * size) for d in range(3)
        ]

    def play(self, observer: Any = None, **more: Any) -> dict[str, float]:
        observer = observer or Silent()
        return play_round(BASE, config(), self.methods, self.devices, self.factory, self.state, observer, **more)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Job]]:
    """Let training add to every value the id of the first row's device plus 1; keep what was asked for."""
    found: list[Sequence[Job]] = []

    def train(base: Any, jobs: Sequence[Job], settings: Any, on_step: Any) -> None:
        found.append(jobs)
        for job in jobs:
            who: Any = job.batches[0][0]
            job.expert = job.expert.with_values(job.expert.values + who[0] + 1)
            job.losses += [float(who[0]), who[0] + 1.0]
        for step in range(2):
            on_step(step, [job.losses[step] for job in jobs], 50)

    monkeypatch.setattr(rounds, "train", train)
    return found


def test_equal_jobs_are_trained_once_and_every_node_has_its_result(passes: list[Sequence[Job]]) -> None:
    one, told = Federation(), Told()
    losses = one.play(told)
    assert sorted(len(jobs) for jobs in passes) == [
        3,
        4,
    ]  # sparse: bank and local share; LoRA: three and one of all
    assert {job.lr for jobs in passes for job in jobs if job.expert.kind == "sparse"} == {(1e-3,)}
    lora = next(jobs for jobs in passes if len(jobs) == 4)
    (whole,) = [job for job in lora if len({row[0] for row in job.batches[0]}) == 3]  # type: ignore[index]
    assert whole.batches == [[(d, step) for d in range(3) for _ in range(2)] for step in range(2)]
    assert sorted(losses) == sorted(f"{name}/{device}" for name in NAMES for device in range(3))
    assert [losses[f"local/{d}"] for d in range(3)] == [losses[f"bank/{d}"] for d in range(3)] == [0.5, 1.5, 2.5]
    assert [losses[f"central/{d}"] for d in range(3)] == [0.5] * 3
    assert [(step.round, step.rounds, step.step, step.steps) for step in told.steps] == [
        (1, 3, n, 4) for n in (1, 2, 3, 4)
    ]
    assert {name for step in told.steps for name in step.losses} == set(losses)
    assert all(len(node.member.history) == 1 for nodes in one.state.nodes.values() for node in nodes)


def test_steps_go_on_from_round_to_round(passes: list[Sequence[Job]]) -> None:
    one = Federation()
    one.play()
    passes.clear()
    one.play()
    assert one.state.round == 2
    for jobs in passes:
        for job in jobs:
            assert job.first_step == 2
            assert [row[1] for batch in job.batches for row in batch[:1]] == [2, 3]  # type: ignore[index]
    assert {kind for kind in one.state.seconds if kind.startswith("train")} == {"train sparse", "train lora"}
    assert one.state.seconds["exchange"] > 0


def test_what_was_trained_is_mixed_with_the_neighbours(passes: list[Sequence[Job]]) -> None:
    one = Federation()
    first = one.state.members["lora"][0].expert.values.clone()
    seen: list[Any] = []
    one.play(judge=lambda members: seen.append([m.expert.values.clone() for m in members["lora"]]))
    (trained,) = seen
    assert [torch.equal(values, first + d + 1) for d, values in enumerate(trained)] == [True] * 3
    mixed = first + (10 * 1 + 20 * 2 + 30 * 3) / 60  # by samples
    for member in one.state.members["lora"]:
        torch.testing.assert_close(member.expert.values, mixed, rtol=0, atol=0.02)
        assert {update.version for update in member.held.values()} == {1}
    local = one.state.members["local"]
    assert [set(member.expert.values.tolist()) for member in local] == [{1.0}, {2.0}, {3.0}]
    assert one.state.seconds["check"] >= 0
    assert sum(one.state.ledger.per_round("lora")[1].values()) > 0
    assert sum(one.state.ledger.total("local").values()) == 0


def test_whose_training_diverged_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(base: Any, jobs: Sequence[Job], *rest: Any) -> None:
        if jobs[0].expert.kind != "sparse":
            raise DivergedError("its loss is nan", 1, "job")

    def quiet(base: Any, jobs: Sequence[Job], settings: Any, on_step: Any) -> None:
        for job in jobs:
            job.losses.append(0.0)
        train(base, jobs)

    monkeypatch.setattr(rounds, "train", quiet)
    with pytest.raises(
        DivergedError, match=r"^lora diverged on device 1 in round 1, its loss is nan: .*train\.lora_lr="
    ):
        Federation().play()


def test_values_that_cannot_be_sent_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(base: Any, jobs: Sequence[Job], settings: Any, on_step: Any) -> None:
        for job in jobs:
            job.losses.append(0.0)
            job.expert = job.expert.with_values(torch.full_like(job.expert.values, torch.nan))

    monkeypatch.setattr(rounds, "train", train)
    with pytest.raises(UserError, match=r"diverged on device 0 in round 1"):
        Federation().play()
