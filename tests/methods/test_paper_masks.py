"""The paper's own masks: ranked on a known B or on known gradients, after the device's own A."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe
from meshtune.methods.config import PaperConfig
from meshtune.methods.paper_masks import PaperMasks, recipe_of
from meshtune.methods.state import NEGOTIATED, Announcement

LAYERS = [describe(number, f"model.layers.{number}.self_attn.q_proj", 24, 2, False) for number in range(2)]
B = np.array([0.1, -5.0, 0.2, 0.3, 4.0, -6.0, 7.0, 0.0], dtype=np.float32)
GROUP = Recipe(0, "orthogonal", 1, 2)
AS_OTHERS = PaperConfig(projection="group", masks="calibrated")


@dataclass
class Host:
    """Devices 3 and 5 of one group: every device's dense B becomes ``B`` times its place, and gradients are 0 to 3."""

    paper: PaperConfig
    layers: Any = field(default_factory=lambda: LAYERS)
    adapter: AdapterConfig = field(default_factory=lambda: AdapterConfig(rank=2))
    devices: Sequence[int] = (3, 5)
    densities: Sequence[float] = (0.5, 0.5)
    counts: Sequence[Sequence[int]] = ((2, 1), (1, 2))
    projections: Any = field(default_factory=lambda: [Projections(GROUP)] * 2)
    asked: list[Any] = field(default_factory=list)

    def calibrate(self, projections: Sequence[Projections]) -> list[list[Any]]:
        self.asked.append([a.recipe.block for a in projections])
        return [[np.arange(4.0), np.arange(4.0)[::-1]]] * 2

    def train(self, experts: Sequence[Expert], method: str, steps: int | None = None) -> list[Expert]:
        blocks = [expert.projections.recipe.block for expert in experts]  # type: ignore[attr-defined]
        self.asked.append((method, steps, blocks, [expert.values.tolist() for expert in experts]))
        return [expert.with_values(torch.from_numpy(B) * (1 + n)) for n, expert in enumerate(experts)]


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ("trained", [[[1, 3], [2]], [[1], [1, 2]]]),  # |B|: .1 5 .2 .3, 4 6 7 0
        ("trained_signed", [[[2, 3], [2]], [[3], [0, 2]]]),  # as printed: -5 and -6 come last
    ],
)
@pytest.mark.parametrize(("projection", "blocks"), [("device", [3, 5]), ("group", [1, 1])])
def test_a_trained_b_is_ranked_within_each_layer(masks: Any, expected: Any, projection: Any, blocks: list[int]) -> None:
    host = Host(PaperConfig(projection=projection, masks=masks, mask_steps=6))
    found = PaperMasks().search(host)
    assert found is not None
    assert [[mask.tolist() for mask in one] for one in found] == expected
    assert host.asked == [("paper", 6, blocks, [[0.0] * 8] * 2)]


def test_gradients_are_those_after_the_devices_own_a() -> None:
    host = Host(PaperConfig(masks="calibrated"))
    found = PaperMasks().search(host)
    assert found is not None
    assert [[mask.tolist() for mask in one] for one in found] == [[[2, 3], [0]], [[3], [0, 1]]]
    assert host.asked == [[3, 5]]


def test_what_differs_in_nothing_is_shared_with_all_methods() -> None:
    host = Host(AS_OTHERS)
    assert PaperMasks().search(host) is None
    assert host.asked == []
    told = {name: PaperConfig(projection="group", masks=name) for name in ("calibrated", "trained", "trained_signed")}
    assert {name: PaperMasks().own(one) for name, one in told.items()} == {
        "calibrated": False,
        "trained": True,
        "trained_signed": True,
    }
    assert PaperMasks().own(PaperConfig(masks="calibrated"))
    assert not PaperMasks().trains(PaperConfig(masks="calibrated"))
    assert PaperMasks().trains(PaperConfig())


def test_a_devices_block_is_its_id() -> None:
    assert recipe_of(PaperConfig(), GROUP, 7) == Recipe(0, "orthogonal", 7, 2)
    assert recipe_of(AS_OTHERS, GROUP, 7) is GROUP


def test_its_own_masks_come_before_calibrated_and_negotiated_ones_before_both() -> None:
    plain, found, agreed = ((np.array([n]),) for n in range(3))
    own = Announcement(0, "a", 1, GROUP, plain)
    assert PaperMasks().of(own) is plain
    searched = Announcement(0, "a", 1, GROUP, plain, others={"paper": found})
    assert PaperMasks().of(searched) is found
    negotiated = Announcement(0, "a", 1, GROUP, plain, others={"paper": found, NEGOTIATED: agreed})
    assert PaperMasks(negotiable=True).of(negotiated) is agreed
    assert PaperMasks().of(negotiated) is found
