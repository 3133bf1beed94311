"""Each position averaged over the devices whose mask uses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshtune.adapter.projection import Recipe, projection
from meshtune.methods.base import Prompts
from meshtune.methods.registry import get_method
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader
from two_devices import ADAPTER, MASKS, played, update


def test_a_position_of_one_device_keeps_its_value() -> None:
    """Position 1 is (2 of weight 1 and 10 of weight 3) / 4; 0 and 3 have one device each; nobody trains 2."""
    method, members, factory = played("paper_masked")
    assert members[0].expert.values.tolist() == pytest.approx([1.0, 8.0])
    assert members[1].expert.values.tolist() == pytest.approx([8.0, 4.0])
    b = torch.tensor([[1.0, 8.0], [0.0, 4.0]])
    a = sum(torch.from_numpy(projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6)) for d in MASKS)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    prompts = Prompts(["a"], Reader("unrouted"), Features(np.zeros((1, 1))))
    found = update(method.answer(members[1], prompts, factory), x)
    torch.testing.assert_close(found, ADAPTER.scale * x @ a.T @ b.T, rtol=1e-5, atol=1e-6)


def test_masks_that_a_cluster_agreed_on_are_taken_as_by_paper() -> None:
    assert get_method("paper_masked").masks is get_method("paper").masks
