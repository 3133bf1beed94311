"""What a method adds to the forecast, against the experts that it really makes and a list of what is kept of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.config_file import validate
from meshtune.data.partition import deal
from meshtune.methods.base import Announcement, ExpertFactory
from meshtune.methods.config import PaperConfig
from meshtune.methods.registry import get_method
from meshtune.model.loading import load
from meshtune.training.process_memory import forecast_memory

FLOAT, PLACE = 4, 8
"""Bytes of a value in float32, and of its place in a matrix."""
TRAINED = FLOAT * (
    len(("value", "gradient", "first moment", "second moment"))
    + len(("value that the round began with", "its first moment", "its second moment"))
    + len(("update that went out", "what it left out"))
    + len(("value in a checkpoint", "its first moment", "its second moment", "update there", "what it left out there"))
)
PLACED = PLACE * len(("in B", "in B transposed"))
DENSE_RUN = FLOAT * len(("value", "gradient", "first moment", "second moment"))
AVERAGED = 2 * len(("update in bfloat16 as published", "as arrived"))
AS_OTHERS: dict[str, Any] = {"projection": "group", "masks": "calibrated"}


def test_the_state_of_every_kind_of_method_is_counted(settings: dict[str, Any]) -> None:
    config = validate({**settings, "model": {"name": "tiny-random"}}, "test")
    base = load(config.model)
    devices = deal(config, base.tokenizer)
    factory = ExpertFactory(
        base.adapters.layers,
        config.adapter,
        seed=0,
        weights=lambda: torch.cat([p.ravel() for p in base.model.parameters()]),
    )
    draw = np.random.default_rng(0)
    masks = tuple(
        np.sort(draw.choice(size, size // 10, replace=False))
        for size in sizes(base.adapters.layers, config.adapter.rank)
    )

    def trained(name: str) -> int:
        """Return how many values a device trains, each at a place of its own where they are sparse."""
        method = get_method(name)
        own = Announcement(0, "a", 1, Recipe(0, "orthogonal", 0, config.adapter.rank), masks)
        own = method.announces(own, factory)
        expert = method.begin(own, {0: own}, factory)
        if isinstance(expert, SparseExpert):
            assert sum(mask.numel() for mask in expert.masks) == expert.values.numel()
        return expert.values.numel()

    def state(*names: str, **paper: str) -> float:
        run = config.model_copy(update={"paper": PaperConfig(**{**AS_OTHERS, **paper})})
        return forecast_memory(base, run, [get_method(name) for name in names], devices).state / len(devices)

    assert state("lora") == pytest.approx(TRAINED * trained("lora"), rel=1e-2)
    kept = sum(layer.inputs * layer.outputs for layer in base.adapters.layers)
    assert state("fedex") == pytest.approx(TRAINED * trained("lora") + 3 * FLOAT * kept, rel=1e-2)
    assert state("bank") == pytest.approx((TRAINED + PLACED) * trained("bank"), rel=1e-2)
    both = TRAINED * (trained("bank") + trained("paper")) + PLACED * trained("bank")
    assert state("bank", "paper") == pytest.approx(both, rel=1e-2)
    apart = both + PLACED * trained("paper")
    assert state("bank", "paper", projection="device") == pytest.approx(apart, rel=1e-2)
    for masks in ("trained", "trained_signed"):
        dense = (DENSE_RUN + PLACED) * trained("ffa")
        assert state("bank", "paper", masks=masks) == pytest.approx(dense, rel=1e-2)
    assert state("ffa") == pytest.approx((TRAINED + PLACED) * trained("ffa"), rel=1e-2)
    assert state("lori") == pytest.approx(
        (DENSE_RUN + PLACED) * trained("ffa"), rel=1e-2
    )  # all places, before its mask
    per_model = AVERAGED + FLOAT / len(devices)
    assert state("fpft") == pytest.approx(per_model * trained("fpft"), rel=1e-2)
