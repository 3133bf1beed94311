"""Pooled rows: every device's step sees the rows of all, and nothing is mixed."""

from __future__ import annotations

import torch

from federations import ask, federation, play
from meshtune.methods.registry import get_method


def test_a_step_sees_the_rows_of_all_devices() -> None:
    assert list(get_method("central").rows(2, 4)) == [0, 1, 2, 3]
    assert list(get_method("lora").rows(2, 4)) == [2]


def test_what_was_trained_stays_as_it_is_and_answers_everything() -> None:
    method = get_method("central")
    members, factory = federation(method)
    play(method, members, factory)
    member = members[1]
    trained = member.expert.values.clone()
    assert not method.sharing.sends
    assert method.mix(member, factory) is None
    answer = ask(method, member, factory)
    (expert,) = answer.experts
    assert expert is not None
    assert torch.equal(expert.values, trained)
    assert answer.gates.tolist() == [[1.0]] * 3
