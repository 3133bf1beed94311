"""The paper's aggregation and its baselines, each against a case worked out by hand (eq. 9, 10, 24)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshtune.adapter.projection import Recipe, projection
from meshtune.methods.base import Prompts
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader
from two_devices import MASKS, played, update


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        # Position 0: 1 of weight 1; position 1: 2 of weight 1 and 10 of weight 3; position 3: 4 of weight 3.
        ("paper", [1 / 4, (2 + 30) / 4, 0.0, 12 / 4]),
        ("paper_masked", [1.0, (2 + 30) / 4, 0.0, 4.0]),
    ],
)
def test_the_mean_goes_back_onto_every_mask_and_stands_whole_behind_all_projections(
    name: str, mean: list[float]
) -> None:
    method, members, factory = played(name)
    for member in members:
        assert member.expert.values.tolist() == pytest.approx([mean[p] for p in MASKS[member.device]])
    b = torch.tensor(mean).view(2, 2)
    a = sum(torch.from_numpy(projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6)) for d in MASKS)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    found = update(
        method.answer(members[0], Prompts(["a"], Reader("unrouted"), Features(np.zeros((1, 1)))), factory), x
    )
    torch.testing.assert_close(found, 2.0 * x @ a.T @ b.T, rtol=1e-5, atol=1e-6)
