"""Without exchange a device answers everything with its own expert, rounded as it would be on the air."""

from __future__ import annotations

import numpy as np
import torch

from federations import ask, federation, play
from meshtune.methods.registry import get_method
from meshtune.methods.state import Update


def test_a_device_asks_itself_alone() -> None:
    method = get_method("local")
    members, factory = federation(method)
    play(method, members, factory)
    answer = ask(method, members[1], factory)
    assert [expert.digest for expert in answer.experts] == [members[1].expert.digest]
    assert answer.gates.tolist() == [[1.0]] * 3


def test_it_answers_with_what_it_would_have_sent_and_goes_on_with_what_it_has() -> None:
    method = get_method("local")
    members, factory = federation(method)
    play(method, members, factory)
    member = members[1]
    rounded = member.expert.values.bfloat16()
    member.held[1] = Update(1, 1, rounded)
    before = member.expert.values.clone()
    assert method.mix(member, factory) is None
    ((group, devices, expert),) = method.experts(member, factory)
    assert (group, devices) == ("b", (1,))
    np.testing.assert_array_equal(expert.values, rounded.float())
    assert not torch.equal(expert.values, before)
    assert torch.equal(member.expert.values, before)


def test_nothing_is_sent_and_only_its_own_task_says_something_of_it() -> None:
    method = get_method("local")
    members, _ = federation(method)
    assert not method.sharing.sends
    assert [method.knows(members[1], group) for group in "abc"] == [False, True, False]
    assert get_method("lora").knows(members[1], "a")
