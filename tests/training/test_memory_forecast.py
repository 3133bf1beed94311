"""What training keeps in memory: checkpointing changes nothing but that, and the forecast knows it beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.architectures import tiny

import meshtune.training.memory_forecast as module
from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.learning_config import TrainConfig
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.probes.probed_base import open_base
from meshtune.training.memory_forecast import GIB, forecast, kept_per_token
from meshtune.training.trainer import Job, accumulate, train

FAMILIES = ("llama", "qwen2", "gemma3", "gpt2", "opt")


def expert(base: Base, kind: str) -> Expert:
    draw = np.random.default_rng(0)
    if kind == "lora":
        made: Expert = LoraExpert(base.adapters.layers, 4, 2.0)
    else:
        masks = [np.sort(draw.choice(size, size // 5, replace=False)) for size in sizes(base.adapters.layers, 4)]
        made = SparseExpert(base.adapters.layers, Projections(Recipe(0, "orthogonal", 0, 4)), masks, 2.0)
    return made.with_values(made.values + torch.from_numpy(draw.standard_normal(made.count)).float() * 0.05)


def rows(count: int = 8) -> list[Row]:
    draw = np.random.default_rng(1)
    return [Row(tuple(draw.integers(1, 64, size=n).tolist()), n - 2) for n in draw.integers(5, 30, size=count)]


@pytest.mark.parametrize("kind", ["sparse", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("packs", [True, False])
def test_checkpointing_changes_no_bit(family: str, kind: str, packs: bool) -> None:
    base = open_base(tiny(family).eval(), None, family)
    base.packs = packs
    found = []
    for checkpoint in (False, True):
        job = Job(expert(base, kind), [rows()] * 3, 1e-3)
        train(base, [job], TrainConfig(micro_tokens=60, checkpoint=checkpoint))
        found.append((job.losses, job.expert.values))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_checkpointing_keeps_little_more_than_the_blocks_inputs() -> None:
    base = open_base(tiny("llama").eval(), None, "llama")
    assert kept_per_token(base)[1] == 2 * 32 * 4

    def peak(checkpoint: bool) -> int:
        seen: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        own = expert(base, "sparse")
        own.values.requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            accumulate(base, [(own, rows(4))], 10_000, checkpoint)
        return sum(seen.values())

    kept = [peak(False), peak(True)]
    assert kept[1] < kept[0] / 2


def test_a_longer_pass_leaves_as_much_behind_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    base = open_base(tiny("llama").eval(), None, "llama")
    few = kept_per_token(base)
    monkeypatch.setattr(module, "SAMPLE", 60)
    many = kept_per_token(base)
    assert few[1] == many[1]
    assert 0.8 < many[0] / few[0] <= 1.0  # what does not grow with the tokens is spread over more of them


def steps() -> list[list[int]]:
    return [[200] * 40]


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base(tiny("llama").eval(), None, "llama")


def test_without_a_budget_the_forecast_is_of_what_was_asked_for(base: Base) -> None:
    found = forecast(base, TrainConfig(micro_tokens=1024), steps(), lambda: GIB, 1 << 20)
    assert (found.micro_tokens, found.tokens, found.checkpoint) == (1024, 1000, False)
    assert found.total == GIB + (1 << 20) + found.passes
    assert "GiB at its peak" in found.text()


def test_a_budget_makes_micro_batches_smaller_then_computes_twice(base: Base) -> None:
    config = TrainConfig(micro_tokens=2048, max_tokens=512)
    free = forecast(base, config, steps(), lambda: 0, 0)
    found = [
        forecast(base, config.model_copy(update={"memory": share * free.total / GIB}), steps(), lambda: 0, 0)
        for share in (1.0, 0.5, 0.16)
    ]
    assert [f.checkpoint for f in found] == [False, False, True]
    assert found[0] == free
    assert found[1].micro_tokens < 2048
    assert all(f.total <= share * free.total for f, share in zip(found, (1.0, 0.5, 0.16), strict=True))


def test_a_budget_that_cannot_be_kept_is_refused(base: Base) -> None:
    with pytest.raises(UserError, match=r"train.memory=0.5 GiB is less than .* about 1.00 GiB \(1.00 with"):
        forecast(base, TrainConfig(memory=0.5), steps(), lambda: GIB, 0)


def test_asked_for_checkpointing_stays(base: Base) -> None:
    assert forecast(base, TrainConfig(checkpoint=True), steps(), lambda: 0, 0).checkpoint
