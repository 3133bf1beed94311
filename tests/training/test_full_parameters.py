"""All weights trained: against transformers' own model and loss, with the base as it was behind it."""

from __future__ import annotations

import copy
import gc
import tempfile
from pathlib import Path

import pytest
import torch

from meshtune.adapter.full_expert import FullExpert
from meshtune.config.learning_config import ModelConfig, TrainConfig
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.loading import load
from meshtune.training.full_parameters import holding, train_full, weights_of
from meshtune.training.trainer import Job

ROWS = [[Row(tuple((7 * i + 3 * j + s) % 200 + 1 for i in range(12 + 5 * j)), 8) for j in range(3)] for s in range(4)]


@pytest.fixture
def base() -> Base:
    return load(ModelConfig(name="tiny-random", device="cpu"))


def by_hand(base: Base, lr: float) -> tuple[list[float], torch.Tensor]:
    """Train transformers' model row by row with the same optimiser; return losses and weights."""
    plain = load(ModelConfig(name="tiny-random", device="cpu", dtype="float64")).model
    plain.requires_grad_(True)
    optimiser = torch.optim.Adam(plain.parameters(), lr=lr)
    losses = []
    for rows in ROWS:
        total = torch.zeros((), dtype=torch.float64)
        for row in rows:
            tokens = torch.tensor([row.tokens])
            labels = tokens.clone()
            labels[0, : row.prompt] = -100
            logits = plain(input_ids=tokens).logits.double()
            loss = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100)
            total = total + loss / len(rows)
        total.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(total.detach()))
    return losses, torch.cat([p.detach().reshape(-1) for p in plain.parameters()])


@pytest.mark.parametrize("micro_tokens", [16, 1024])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_it_learns_what_a_plain_loop_learns(base: Base, micro_tokens: int, checkpoint: bool) -> None:
    before = copy.deepcopy(base.model.state_dict())
    config = TrainConfig(rounds=1, steps=4, warmup=0, final_lr=1.0, micro_tokens=micro_tokens, checkpoint=checkpoint)
    job = Job(FullExpert(base.adapters.layers, weights_of(base)), ROWS, 1e-3)
    steps: list[int] = []
    train_full(base, [job], config, lambda step, losses, tokens: steps.append(step))
    losses, weights = by_hand(base, 1e-3)
    assert job.losses == pytest.approx(losses, rel=1e-5)
    assert steps == [0, 1, 2, 3]
    # Adam divides by the gradient's size: where that is near 0, rounding decides the step's sign.
    off = (job.expert.values.double() - weights).abs()
    assert float(off.quantile(0.99)) < 1e-5
    after = base.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(p.requires_grad for p in base.model.parameters())


def test_the_base_has_its_weights_back_even_behind_an_error(base: Base) -> None:
    before = weights_of(base).clone()
    other = FullExpert(base.adapters.layers, torch.zeros_like(before))

    def interrupted() -> None:
        with holding(base, other):
            assert not weights_of(base).any()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(weights_of(base), before)


def test_a_copy_of_the_weights_leaves_no_file(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = weights_of(base)
    assert float(found.abs().sum()) > 0
    del found
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_rounded_weights_are_refused(base: Base) -> None:
    base.model.register_parameter("rounded", torch.nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False))
    with pytest.raises(UserError, match=r"model\.bits holds them rounded: leave model\.bits out"):
        weights_of(base)
