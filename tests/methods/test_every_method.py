"""The behaviour every method must show, whatever it is: what the registry names is tested here.

So are methods of other packages, where one is installed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from federations import LAYERS, announcement, ask, dense, federation, play
from meshtune.methods.base import Method
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.registry import CATALOGUE, METHODS, get_method
from meshtune.methods.state import Update

MEANS = ("lora", "ffa", "alternating", "fedex", "fed_sb", "fpft")
BANKS = tuple(name for name in CATALOGUE if isinstance(get_method(name), BankMethod))
SEPARATE = tuple(name for name in BANKS if not get_method(name).masks.common)


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    return get_method(request.param)


def test_training_starts_from_no_update(method: Method) -> None:
    members, factory = federation(method)
    for member in members:
        if not method.kind.frozen_base:
            assert torch.equal(member.expert.values, factory.full().values)
            continue
        for layer in LAYERS:
            assert not member.expert.delta(layer).any()


def test_gates_sum_to_one_and_name_experts(method: Method) -> None:
    members, factory = federation(method)
    play(method, members, factory)
    for member in members:
        answer = ask(method, member, factory)
        assert answer.gates.shape == (3, len(answer.experts))
        np.testing.assert_allclose(answer.gates.sum(axis=1), 1.0)


def test_the_devices_behind_every_expert_are_named(method: Method) -> None:
    """Device 1 is alone in its group; device 2, of a group with device 0, has not heard of round 2 from it.

    What a method of another kind than these names is for its own test.
    """
    members, factory = federation(method)
    for version in (1, 2):
        play(method, members, factory, version)
    bank: dict[str, list[tuple[str, tuple[int, ...]]]] = {
        key: [("a", (0, 2)), ("b", (1,)), ("c", (3,))] for key in ("shared_b", *BANKS)
    }
    paper = {key: [("every task", (0, 1, 2, 3))] for key in ("paper", "paper_masked", "single_cluster")}
    mean = {key: [("every task", (0, 1, 2, 3))] for key in MEANS}
    known = {"local": [("b", (1,))], "central": [("every task", (1,))], **bank, **paper, **mean}
    found = method.sources(members[1])
    assert found == known.get(method.name, found)
    members[2].held.pop(3, None)
    if 0 in members[2].held:
        old = members[2].held[0]
        members[2].held[0] = Update(0, 1, old.values)
    bank = {key: [("a", (0, 2)), ("b", (1,))] for key in bank}
    paper = {key: [("every task", (0, 1, 2))] for key in paper}
    mean = {key: [("every task", (1, 2))] for key in mean} | {"fpft": [("every task", (0, 1, 2, 3))]}  # holds the mean
    known = {"local": [("a", (2,))], "central": [("every task", (2,))], **bank, **paper, **mean}
    found = method.sources(members[2])
    assert found == known.get(method.name, found)
    assert {device for _, devices in found for device in devices} <= set(members[2].known)
    assert len(ask(method, members[2], factory).experts) == len(found)


def test_it_is_a_function_of_what_is_held(method: Method) -> None:
    """The same start and the same updates give bit-equal experts."""
    ends = []
    for _ in range(2):
        members, factory = federation(method)
        for version in (1, 2):
            play(method, members, factory, version)
        ends.append([member.expert.digest for member in members])
    assert ends[0] == ends[1]


def test_a_silent_neighbour_is_left_out_of_the_mean(method: Method) -> None:
    """Device 0 (10 rows) hears 1 (20) and 3 (40), but never 2, its only mate; worked out position by position.

    What a method of another kind than these mixes is for its own test.
    """
    members, factory = federation(method)
    published = play(method, members, factory, silent=2)
    rows = {0: 10, 1: 20, 3: 40}
    values = {device: published[device].values.double().numpy() for device in rows}
    if method.name in MEANS:
        expected = sum(rows[d] * values[d] for d in rows) / 70
    elif method.name in ("paper", "paper_masked", "single_cluster", "shared_b"):
        trained = {
            d: dict(zip(dense(announcement(d).masks), values[d].tolist(), strict=True)) for d in rows
        }  # position -> value
        expected = np.array(
            [
                sum(rows[d] * trained[d].get(place, 0.0) for d in rows)
                / (sum(rows[d] for d in rows if place in trained[d]) if method.name == "paper_masked" else 70)
                for place in trained[0]
            ]
        )
    elif method.name in ("local", "central", *SEPARATE):
        expected = values[0]
    else:
        expected = members[0].expert.values.double().numpy()
    np.testing.assert_allclose(members[0].expert.values.double().numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ask(method, members[0], factory).gates.sum(axis=1), 1.0)
