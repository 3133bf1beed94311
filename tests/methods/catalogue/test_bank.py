"""A bank, weighed by a router."""

from __future__ import annotations

import numpy as np

from federations import ask, federation, play
from meshtune.adapter.arrow_routing import Arrow
from meshtune.methods.base import Prompts
from meshtune.methods.registry import get_method
from meshtune.routing.arrow import ArrowRouter
from meshtune.routing.features import Features
from meshtune.routing.routers import Router
from meshtune.routing.statistics import Array


def test_it_routes_clear_prompts_like_the_oracle() -> None:
    method = get_method("bank")
    members, factory = federation(method)
    play(method, members, factory)
    gates = ask(method, members[3], factory).gates
    np.testing.assert_allclose(gates, np.eye(3), atol=1e-6)


class Given(Router):
    """A router that says the same of every prompt."""

    groups = ("a", "b", "c")

    def __init__(self, *gates: float) -> None:
        self._gates = np.array(gates)

    def scores(self, seen: Features) -> Array:
        return np.tile(self._gates, (len(seen), 1))

    gates = scores


def test_gates_are_shared_among_the_experts_it_holds_in_their_order() -> None:
    method = get_method("bank")
    members, factory = federation(method)
    published = play(method, members, factory, silent=1)  # nobody but itself hears of b
    prompts = Prompts(["a"], Given(0.2, 0.5, 0.3), Features(np.zeros((1, 6))))
    answer = method.answer(members[3], prompts, factory)
    np.testing.assert_allclose(answer.gates, [[0.4, 0.6]])
    mean = (10 * published[0].values + 30 * published[2].values) / 40
    for expert, expected in zip(answer.experts, (mean, published[3].values), strict=True):
        assert expert is not None
        np.testing.assert_allclose(expert.values, expected, rtol=0, atol=1e-6)
    assert answer.bank is None


def test_a_router_inside_the_layers_gets_the_experts_as_its_bank() -> None:
    method = get_method("bank")
    members, factory = federation(method)
    play(method, members, factory)
    prompts = Prompts(["a"], ArrowRouter(["a", "b", "c"], top_k=2), Features(np.zeros((1, 6))))
    answer = method.answer(members[0], prompts, factory)
    assert isinstance(answer.bank, Arrow)
    assert answer.bank.digest == Arrow([expert for expert in answer.experts if expert is not None], 2).digest
