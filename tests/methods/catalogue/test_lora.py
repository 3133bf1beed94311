"""Plain LoRA, A and B averaged."""

from __future__ import annotations

import torch

from federations import ask, federation, play
from meshtune.methods.catalogue.lora import newest
from meshtune.methods.registry import get_method
from meshtune.methods.state import Update


def test_lora_averages_a_and_b_with_weights_by_samples() -> None:
    method = get_method("lora")
    members, factory = federation(method)
    play(method, members, factory)
    values = [members[0].held[d].values.double() for d in range(4)]
    expected = sum(v * (d + 1) / 10 for d, v in enumerate(values))
    for member in members:
        torch.testing.assert_close(member.expert.values.double(), expected, rtol=0, atol=1e-6)


def test_only_updates_of_the_last_round_are_averaged_and_named() -> None:
    """Device 3's update is a round old: the mean is of devices 0 to 2, by 10, 20 and 30 rows."""
    method = get_method("lora")
    members, factory = federation(method)
    play(method, members, factory)
    play(method, members, factory, version=2)
    member = members[0]
    member.held[3] = Update(3, 1, member.held[3].values + 100)
    assert newest(member) == [0, 1, 2]
    values = [member.held[d].values.double() for d in range(3)]
    mixed = method.mix(member, factory)
    assert mixed is not None
    expected = (values[0] + 2 * values[1] + 3 * values[2]) / 6
    torch.testing.assert_close(mixed.values.double(), expected, rtol=0, atol=1e-6)
    assert method.sources(member) == [("every task", (0, 1, 2))]
    ((task, devices, expert),) = method.experts(member, factory)
    assert (task, devices) == ("every task", (0, 1, 2))
    assert expert is member.expert


def test_one_expert_answers_every_prompt() -> None:
    method = get_method("lora")
    members, factory = federation(method)
    play(method, members, factory)
    answer = ask(method, members[2], factory)
    assert [expert.digest for expert in answer.experts] == [members[2].expert.digest]
    assert answer.gates.tolist() == [[1.0]] * 3
