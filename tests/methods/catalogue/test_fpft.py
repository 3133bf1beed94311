"""All weights, averaged."""

from __future__ import annotations

import torch

from meshtune.adapter.projection import Recipe
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from two_devices import ADAPTER, LAYER, SAMPLES


def test_fpft_averages_all_weights_and_keeps_nothing_else() -> None:
    method = get_method("fpft")
    factory = ExpertFactory([LAYER], ADAPTER, seed=0, weights=lambda: torch.ones(3))
    known = {d: Announcement(d, "ab"[d], SAMPLES[d], Recipe(0, "orthogonal", d, 2)) for d in SAMPLES}
    member = Member(0, known[0], method.begin(known[0], known, factory), known=known)
    assert member.expert.values.tolist() == [1.0, 1.0, 1.0]
    member.held = {0: Update(0, 1, torch.tensor([4.0, 0.0, 1.0])), 1: Update(1, 1, torch.tensor([0.0, 8.0, 1.0]))}
    member.expert = method.mix(member, factory) or member.expert
    assert member.expert.values.tolist() == [1.0, 6.0, 1.0]
    assert list(member.held) == [0]
    assert method.sources(member) == [("every task", (0, 1))]
