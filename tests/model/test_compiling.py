"""A compiled base learns what the plain one learns."""

from __future__ import annotations

import shutil

import pytest

from meshtune.adapter.expert import LoraExpert
from meshtune.config.learning_config import ModelConfig, TrainConfig
from meshtune.model.encoding import Row
from meshtune.model.loading import load
from meshtune.training.trainer import Job, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_compiled_base_learns_the_same(checkpoint: bool) -> None:
    rows = [[Row(tuple((7 * i + 3 * j) % 200 + 1 for i in range(20 + 9 * j)), 12) for j in range(4)]] * 4
    losses = []
    for compiled in (False, True):
        base = load(ModelConfig(name="tiny-random", device="cpu", compile=compiled))
        job = Job(LoraExpert(base.adapters.layers, 4, 2.0), rows, 1e-2)
        train(base, [job], TrainConfig(rounds=1, steps=4, warmup=0, micro_tokens=128, checkpoint=checkpoint))
        losses.append(job.losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[1][-1] < losses[1][0]
