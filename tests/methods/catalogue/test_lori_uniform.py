"""LoRI with one threshold a layer."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.adapter.projection import Recipe
from meshtune.methods.catalogue.lori import MagnitudeMasks
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement

COUNTS = [8, 4, 12]


@pytest.mark.parametrize("density", [0.25, 0.5, 1.0])
def test_every_layer_keeps_the_same_share_of_its_largest(density: float) -> None:
    """Where one layer's values are a thousand times larger, one threshold over all would empty the others."""
    values = np.random.default_rng(0).standard_normal(24).astype(np.float32)
    values[:8] *= 1000
    masks = get_method("lori_uniform").masks
    assert isinstance(masks, MagnitudeMasks)
    found = masks.kept(values, COUNTS, density)
    for mask, layer in zip(found, np.split(values, [8, 12]), strict=True):
        keep = round(density * layer.size)
        assert mask.tolist() == sorted(np.argsort(-np.abs(layer))[:keep].tolist())
    over_all = get_method("lori").masks
    assert isinstance(over_all, MagnitudeMasks)
    assert [mask.size for mask in over_all.kept(values, COUNTS, 1 / 3)] == [8, 0, 0]


def test_it_trains_its_own_masks_and_never_those_of_lori() -> None:
    masks = {name: (np.array([number]),) for number, name in enumerate(("lori", "lori_uniform"))}
    own = Announcement(0, "a", 1, Recipe(0, "orthogonal", 0, 2), (np.array([7]),), others=masks)
    assert [get_method(name).masks.of(own)[0].tolist() for name in masks] == [[0], [1]]
    bare = Announcement(0, "a", 1, Recipe(0, "orthogonal", 0, 2), (np.array([7]),))
    assert get_method("lori_uniform").masks.of(bare) == ()
