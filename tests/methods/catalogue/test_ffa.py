"""One frozen A for everybody."""

from __future__ import annotations

import numpy as np
import torch

from meshtune.adapter.projection import Recipe
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from two_devices import ADAPTER, LAYER


def test_ffa_averages_a_dense_b_behind_one_projection() -> None:
    method = get_method("ffa")
    factory = ExpertFactory([LAYER], ADAPTER, seed=0)
    own = Announcement(1, "b", 3, Recipe(0, "orthogonal", 1, 2), (np.array([1]),))
    said = method.announces(own, factory)
    assert (said.recipe.block, said.masks[0].tolist()) == (0, [0, 1, 2, 3])
    other = method.announces(Announcement(0, "a", 1, Recipe(0, "orthogonal", 0, 2)), factory)
    member = Member(1, said, method.begin(said, {0: other, 1: said}, factory), known={0: other, 1: said})
    member.held = {0: Update(0, 1, torch.tensor([4.0, 0.0, 0.0, 8.0])), 1: Update(1, 1, torch.tensor([0.0, 4.0, 0, 0]))}
    member.expert = method.mix(member, factory) or member.expert
    assert member.expert.values.tolist() == [1.0, 3.0, 0.0, 2.0]
