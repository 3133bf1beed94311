"""Cores between fixed matrices, averaged."""

from __future__ import annotations

import torch

from federations import LAYERS, federation, play
from meshtune.adapter.projection import Recipe
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from two_devices import ADAPTER, LAYER


def test_the_mean_core_is_worked_out_by_hand() -> None:
    """Devices of 1 and 3 rows: the mean of [4, 0, 0, 8] and [0, 4, 0, 0] is [1, 3, 0, 2]."""
    method = get_method("fed_sb")
    factory = ExpertFactory([LAYER], ADAPTER, seed=0)
    known = {d: Announcement(d, "ab"[d], 1 + 2 * d, Recipe(0, "orthogonal", d, 2)) for d in (0, 1)}
    known = {d: method.announces(own, factory) for d, own in known.items()}
    member = Member(1, known[1], method.begin(known[1], known, factory), known=known)
    assert member.expert.count == 4
    member.held = {0: Update(0, 1, torch.tensor([4.0, 0.0, 0.0, 8.0])), 1: Update(1, 1, torch.tensor([0.0, 4.0, 0, 0]))}
    mixed = method.mix(member, factory)
    assert mixed is not None
    assert mixed.values.tolist() == [1.0, 3.0, 0.0, 2.0]
    a, b = mixed.pair(LAYER)
    ((fixed_a, fixed_b),) = factory.core().fixed
    assert torch.equal(a, fixed_a)
    torch.testing.assert_close(b, fixed_b @ torch.tensor([[1.0, 3.0], [0.0, 2.0]]))


def test_the_mean_of_updates_is_exact() -> None:
    """Unlike LoRA's: with weights 1 to 4 tenths, the mixed update is the mean of the four devices' updates."""
    gaps = {}
    for name in ("fed_sb", "lora"):
        method = get_method(name)
        members, factory = federation(method)
        published = play(method, members, factory)
        shape = members[0].expert
        gaps[name] = max(
            (
                shape.delta(layer)
                - sum((d + 1) / 10 * shape.with_values(published[d].values).delta(layer) for d in range(4))
            )
            .abs()
            .max()
            .item()
            for layer in LAYERS
        )
    assert gaps["fed_sb"] < 1e-5 < 0.1 < gaps["lora"]
