"""What all methods have in common: gates over what a device holds, and what it does where a method says nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federations import LAYERS, announcement, federation, play
from meshtune.methods.base import Method, Prompts, only
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import MaskPolicy
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Masks
from meshtune.routing.abstention import Abstention
from meshtune.routing.features import Features
from meshtune.routing.routers import Router
from meshtune.routing.statistics import Array


class Given(Router):
    groups = ("a", "b", "c", "d")

    def __init__(self, gates: Array) -> None:
        self._gates = gates

    def scores(self, seen: Features) -> Array:
        return self._gates

    gates = scores


def prompts(gates: list[list[float]]) -> Prompts:
    return Prompts(["a"] * len(gates), Given(np.array(gates)), Features(np.zeros((len(gates), 1))))


def test_gates_are_those_of_the_groups_that_are_held_in_their_order() -> None:
    """The second prompt is wholly for groups that are on their way: its device's own group answers."""
    found = prompts([[0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.5, 0.0]]).gates(["d", "b"], "b")
    np.testing.assert_allclose(found, [[2 / 3, 1 / 3], [0.0, 1.0]])


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
    st.randoms(),
)
def test_gates_sum_to_one_and_keep_their_proportions(gates: list[list[float]], held: list[str], random: object) -> None:
    own = random.choice(held)  # type: ignore[attr-defined]
    found = prompts(gates).gates(held, own)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    for row, given_, at in zip(found, gates, range(len(gates)), strict=True):
        mine = np.array([given_["abcd".index(group)] for group in held])
        if mine.sum() > 0:
            np.testing.assert_allclose(row * mine.sum(), mine, atol=1e-12)
        else:
            assert row.tolist() == [float(group == own) for group in held], at


class Half(Abstention):
    """Knows a half of the first prompt, and nothing of the others."""

    def known(self, seen: Features) -> Array:
        return np.array([0.5, 0.0, 0.0])


def test_what_a_router_leaves_to_the_frozen_model_is_missing_from_the_gates() -> None:
    """The third prompt is for groups that are on their way: what is not known is not the own group's either."""
    asked = prompts([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0]])
    asked.fitted().abstention = Half([])
    np.testing.assert_allclose(asked.gates(["d", "b"], "b"), [[1 / 3, 1 / 6], [0.0, 0.0], [0.0, 0.0]])


def test_a_method_that_routes_must_be_given_a_router() -> None:
    with pytest.raises(ValueError, match=r"^a method that routes is asked without a router$"):
        Prompts(["a"], None, Features(np.zeros((1, 1)))).fitted()


def test_one_expert_answers_all_prompts_or_the_frozen_model_does() -> None:
    answer = only(None, 3)
    assert (answer.experts, answer.gates.tolist(), answer.bank) == ((None,), [[1.0]] * 3, None)
    assert only(None, 0).gates.shape == (0, 1)


class Plain(Method):
    """A method that only says where training starts."""

    begin = get_method("local").begin
    mix = get_method("local").mix
    answer = get_method("local").answer


def test_where_a_method_says_nothing_a_device_stands_for_itself() -> None:
    method = Plain()
    members, factory = federation(get_method("local"))
    play(get_method("local"), members, factory)
    member = members[2]
    assert list(method.rows(2, 4)) == [2]
    assert method.knows(member, "anything")
    assert method.reintroduces(member.own, member.known, factory) is member.own
    assert method.sources(member) == [("a", (2,))]
    ((group, devices, expert),) = method.experts(member, factory)
    assert (group, devices) == ("a", (2,))
    assert expert is member.expert


def test_what_is_announced_are_the_masks_that_the_method_takes() -> None:
    class Other(MaskPolicy):
        def __init__(self, masks: Masks) -> None:
            super().__init__()
            self._masks = masks

        def of(self, own: Announcement) -> Masks:
            return self._masks

    own, factory = announcement(0), ExpertFactory(LAYERS, federation(get_method("local"))[1].adapter, 0)
    method = Plain()
    assert method.announces(own, factory) is own
    method.masks = Other(own.others["lori"])
    said = method.announces(own, factory)
    assert said.masks is own.others["lori"]
    assert (said.device, said.codes is own.codes) == (0, True)
    method.masks = Other(())  # it has none of these: its own stay
    assert method.announces(own, factory) is own
    assert torch.is_tensor(factory.alone(said).values)
