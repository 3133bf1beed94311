"""A perfect router over the experts of ``proposed``."""

from __future__ import annotations

import numpy as np

from federations import ask, digests, federation, play
from meshtune.methods.registry import get_method


def test_every_prompt_is_answered_by_the_expert_of_its_own_task() -> None:
    method = get_method("oracle")
    members, factory = federation(method)
    play(method, members, factory)
    answer = ask(method, members[1], factory)  # prompts of a, b and c
    assert answer.gates.tolist() == np.eye(3).tolist()


def test_its_experts_are_those_of_proposed() -> None:
    held = digests("oracle")
    assert held == digests("proposed")
    assert [group for group, _ in held] == ["a", "b", "c"]
