"""A perfect router over the experts of ``proposed``."""

from __future__ import annotations

import numpy as np

from federations import ask, federation, play
from meshtune.methods.registry import get_method


def test_every_prompt_is_answered_by_the_expert_of_its_own_task() -> None:
    method = get_method("oracle")
    members, factory = federation(method)
    play(method, members, factory)
    answer = ask(method, members[1], factory)  # prompts of a, b and c
    assert answer.gates.tolist() == np.eye(3).tolist()


def test_its_experts_are_those_of_common() -> None:
    held = []
    for name in ("proposed", "oracle"):
        method = get_method(name)
        members, factory = federation(method)
        play(method, members, factory)
        held.append([(group, expert.digest) for group, _, expert in method.experts(members[0], factory)])
    assert held[0] == held[1]
    assert [group for group, _ in held[0]] == ["a", "b", "c"]
