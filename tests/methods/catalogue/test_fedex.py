"""LoRA whose mixed update is the mean of the updates, whatever their rank."""

from __future__ import annotations

import torch

from federations import LAYERS, federation, play
from meshtune.adapter.dense.residual_expert import ResidualExpert
from meshtune.adapter.expert import Expert
from meshtune.methods.registry import get_method


def gap(name: str, rounds: int) -> float:
    """Return how far the mixed update is from the mean of the devices' updates at most, weights 1 to 4 tenths."""
    method = get_method(name)
    members, factory = federation(method)
    widest = 0.0
    for version in range(1, rounds + 1):
        before = members[0].expert
        published = play(method, members, factory, version)
        trained: list[Expert] = [before.with_values(published[device].values) for device in range(4)]
        for layer in LAYERS:
            mean = sum((device + 1) / 10 * trained[device].delta(layer) for device in range(4))
            for member in members:
                widest = max(widest, float((member.expert.delta(layer) - mean).abs().max()))
    return widest


def test_the_mean_of_updates_is_exact_round_after_round() -> None:
    assert gap("fedex", 3) < 1e-4
    assert gap("lora", 1) > 0.1


def test_a_and_b_are_those_of_lora_and_devices_share_one_residual() -> None:
    ends = {}
    for name in ("fedex", "lora"):
        method = get_method(name)
        members, factory = federation(method)
        play(method, members, factory)
        ends[name] = members
    for one, other in zip(ends["fedex"], ends["lora"], strict=True):
        assert isinstance(one.expert, ResidualExpert)
        assert torch.equal(one.expert.values, other.expert.values)
        assert one.expert.kept is not None
        assert one.expert.kept is ends["fedex"][0].expert.kept


def test_an_average_of_one_leaves_nothing_out() -> None:
    """Device 3 hears nobody: its residual is 0, and what it goes on from is its own update."""
    method = get_method("fedex")
    members, factory = federation(method)
    published = play(method, members, factory)
    alone = members[3]
    alone.held = {3: published[3]}
    alone.expert = method.begin(alone.own, alone.known, factory).with_values(published[3].values)
    mixed = method.mix(alone, factory)
    assert mixed is not None
    assert mixed.kept is not None
    assert float(mixed.kept.abs().max()) < 1e-5
    for layer in LAYERS:
        torch.testing.assert_close(mixed.delta(layer), alone.expert.delta(layer), rtol=0, atol=1e-5)
