"""Searches for masks train what is new to them once, on every row, and say whose training diverged."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flying import LAYERS, RANK
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.projection import Recipe
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import DivergedError
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.node import mask_search
from meshtune.node.mask_search import MaskSearch, search_masks
from meshtune.runs.events import Event, StepDone
from meshtune.runs.observer import Silent
from meshtune.training.trainer import Job

BASE: Any = SimpleNamespace(adapters=SimpleNamespace(layers=LAYERS), dtype=torch.float32, device="cpu")
RECIPES = {group: Recipe(3, "orthogonal", block, RANK) for block, group in enumerate("ab")}
DENSITIES = (0.25, 0.5)


class Told(Silent):
    """Keeps the steps that are told."""

    def __init__(self) -> None:
        self.steps: list[StepDone] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, StepDone)
        self.steps.append(event)


def rows(device: int, group: str) -> Any:
    """A device whose batch says which step it is of."""
    return SimpleNamespace(
        device=device,
        group=group,
        batch=lambda step, size: [(device, step)] * size,
        calibration=lambda count, size: (f"device {device}", count, size),
    )


DEVICES = [rows(4, "a"), rows(7, "b")]


def config(*methods: str) -> RunConfig:
    train = {"rounds": 3, "steps": 2, "batch": 5, "lr": 1e-3, "lora_lr": 1e-4, "rates": {"lori": 7e-3}}
    tree = {"tasks": ["boolq"], "devices": {"count": 2}, "methods": list(methods or ("lori",)), "train": train}
    return validate({**tree, "adapter": {"rank": RANK}}, "the test")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Job]]:
    """Let training add 1 to every value; keep what was asked for."""
    passes: list[Sequence[Job]] = []

    def train(base: Any, jobs: Sequence[Job], settings: Any, on_step: Any) -> None:
        assert base is BASE
        passes.append(jobs)
        for step in range(len(jobs[0].batches)):
            on_step(step, [float(step), 10.0 + step], 99)
        for job in jobs:
            job.expert = job.expert.with_values(job.expert.values + 1)

    monkeypatch.setattr(mask_search, "train", train)
    return passes


def experts(value: float = 0.0) -> list[Expert]:
    shape = ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5).lora()
    return [shape.with_values(torch.full((shape.count,), value)) for _ in DEVICES]


def test_every_device_trains_all_its_rows_at_the_rate_of_the_method(trained: list[Sequence[Job]]) -> None:
    told = Told()
    host = MaskSearch(BASE, config(), DEVICES, RECIPES, told, DENSITIES)
    found = host.train(experts(), "lori")
    assert [one.values.tolist() for one in found] == [[1.0] * experts()[0].count] * 2
    (jobs,) = trained
    assert [job.lr for job in jobs] == [[7e-3]] * 2
    assert [job.batches for job in jobs] == [[[(device, step)] * 5 for step in range(6)] for device in (4, 7)]
    assert [(one.round, one.rounds, one.step, one.steps) for one in told.steps] == [(1, 3, n, 6) for n in range(1, 7)]
    assert told.steps[3].losses == {"lori/4": 3.0, "lori/7": 13.0}
    assert [one.recipe for one in host.projections] == [RECIPES["a"], RECIPES["b"]]
    assert host.densities is DENSITIES


def test_equal_work_is_done_once(trained: list[Sequence[Job]]) -> None:
    host = MaskSearch(BASE, config(), DEVICES, RECIPES, Silent(), DENSITIES)
    first = host.train(experts(), "lori")
    assert host.train(experts(), "lori") is first
    assert len(trained) == 1
    host.train(experts(0.5), "lori")
    host.train(experts(), "lori_uniform")
    assert len(trained) == 3
    assert trained[2][0].lr == [1e-3]


def test_fewer_steps_are_the_first_of_the_run(trained: list[Sequence[Job]]) -> None:
    told = Told()
    host = MaskSearch(BASE, config(), DEVICES, RECIPES, told, DENSITIES)
    host.train(experts(), "lori", 2)
    (jobs,) = trained
    assert [job.batches for job in jobs] == [[[(device, step)] * 5 for step in range(2)] for device in (4, 7)]
    assert [(one.step, one.steps) for one in told.steps] == [(1, 2), (2, 2)]
    host.train(experts(), "lori")  # not the same work
    assert len(trained) == 2


def test_calibration_is_after_the_projections_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def scores(base: Any, projections: Projections, batches: Any, micro_tokens: int) -> str:
        asked.append((projections.recipe.block, batches))
        return f"scores {len(asked)}"

    monkeypatch.setattr(mask_search, "calibration_scores", scores)
    host = MaskSearch(BASE, config(), DEVICES, RECIPES, Silent(), DENSITIES, [[1], [2]])
    assert (host.devices, host.counts, host.paper) == ([4, 7], [[1], [2]], PaperConfig())
    given = [Projections(Recipe(3, "orthogonal", device, RANK)) for device in host.devices]
    assert host.calibrate(given) == ["scores 1", "scores 2"]
    assert asked == [(4, ("device 4", 4, 5)), (7, ("device 7", 4, 5))]


def test_who_diverged_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*rest: Any) -> None:
        raise DivergedError("at step 3", 1, "job 1")

    monkeypatch.setattr(mask_search, "train", train)
    host = MaskSearch(BASE, config(), DEVICES, RECIPES, Silent(), DENSITIES)
    with pytest.raises(DivergedError, match=r"^lori diverged on device 7 in round 0, at step 3: ") as caught:
        host.train(experts(), "lori")
    assert "train.rates.lori=" in str(caught.value)
    assert caught.value.number == 7


def test_masks_are_listed_by_device_and_calibrated_ones_are_not_searched_for(
    trained: list[Sequence[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*names: str) -> Any:
        methods = [get_method(name) for name in names]
        return search_masks(BASE, config(*names), DEVICES, methods, RECIPES, Silent(), DENSITIES)

    assert found("bank", "lora", "local") == []
    lori = get_method("lori")
    host: list[MaskSearch] = []
    monkeypatch.setattr(type(lori.masks), "search", lambda policy, one: host.append(one) or ["first", "second"])
    assert found("bank", "lori") == [{lori.masks.name: "first"}, {lori.masks.name: "second"}]
    assert isinstance(host[0], MaskSearch)
    assert not trained
