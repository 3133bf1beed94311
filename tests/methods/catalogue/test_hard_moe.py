"""A perfect router over the experts of ``bank``."""

from __future__ import annotations

import numpy as np

from federations import ask, digests, federation, play
from meshtune.methods.registry import get_method


def test_every_prompt_is_answered_by_the_expert_of_its_own_task() -> None:
    method = get_method("hard_moe")
    members, factory = federation(method)
    published = play(method, members, factory)
    answer = ask(method, members[1], factory)  # prompts of a, b and c
    assert answer.gates.tolist() == np.eye(3).tolist()
    mean = (10 * published[0].values + 30 * published[2].values) / 40
    for expert, expected in zip(answer.experts, (mean, published[1].values, published[3].values), strict=True):
        np.testing.assert_allclose(expert.values, expected, rtol=0, atol=1e-6)


def test_a_task_that_it_has_no_expert_of_is_answered_by_its_own() -> None:
    method = get_method("hard_moe")
    members, factory = federation(method)
    play(method, members, factory, silent=3)  # nobody hears of c
    assert ask(method, members[1], factory).gates.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    assert ask(method, members[0], factory).gates.tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]


def test_its_experts_are_those_of_bank() -> None:
    held = digests("hard_moe")
    assert held == digests("bank")
    assert [group for group, _ in held] == ["a", "b", "c"]
