"""What the next round trains: nodes share a job where nothing in it differs, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from flying import world
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.methods.registry import get_method
from meshtune.network.federation_state import FederationState, distinct_jobs
from meshtune.node.node import Node
from meshtune.wire.ledger import Ledger

PLACES = [(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)]
NAMES = ("bank", "local", "lora", "central")


@pytest.fixture
def state() -> FederationState:
    """Three devices under four methods, as each begins."""
    found: dict[str, list[Node]] = {}
    for name in NAMES:
        found |= world(name, PLACES).state.nodes
    return FederationState(found, Ledger())


def config(**train: Any) -> RunConfig:
    rates = {"lr": 1e-3, "lora_lr": 1e-3, **train}
    tree = {"tasks": ["boolq"], "devices": {"count": 3}, "methods": list(NAMES), "train": rates}
    return validate(tree, "the test")


def shared(settings: RunConfig, state: FederationState) -> dict[str, list[list[tuple[str, int]]]]:
    jobs = distinct_jobs(settings, [get_method(name) for name in NAMES], state, 3)
    return {
        kind: sorted([(name, node.member.device) for name, node in who] for who in each.values())
        for kind, each in jobs.items()
    }


def test_members_are_those_of_the_nodes(state: FederationState) -> None:
    assert (state.round, state.seconds, state.clocks) == (0, {}, {})
    assert list(state.members) == list(NAMES)
    assert [member.device for member in state.members["lora"]] == [0, 1, 2]
    assert state.members["lora"][1] is state.nodes["lora"][1].member


def test_every_node_has_one_job_and_only_equal_ones_are_shared(state: FederationState) -> None:
    found = shared(config(), state)
    named = sorted(who for jobs in found.values() for job in jobs for who in job)
    assert named == sorted((name, device) for name in NAMES for device in range(3))
    for jobs in distinct_jobs(config(), [get_method(name) for name in NAMES], state, 3).values():
        for (rows, digest, history, _), who in jobs.items():
            for name, node in who:
                assert rows == tuple(get_method(name).rows(node.member.device, 3))
                assert (digest, history) == (node.member.expert.digest, node.member.history)
    (together,) = [job for jobs in found.values() for job in jobs if ("central", 0) in job]
    assert together == [("central", 0), ("central", 1), ("central", 2)]


def test_methods_share_a_job_until_anything_differs(state: FederationState) -> None:
    def mates(device: int, **train: Any) -> list[str]:
        found = shared(config(**train), state)
        (job,) = [job for jobs in found.values() for job in jobs if ("bank", device) in job]
        return [name for name, _ in job]

    assert [mates(device) for device in range(3)] == [["bank", "local"]] * 3  # both begin with the same expert
    assert mates(0, rates={"local": 2e-3}) == ["bank"]
    first, second, _ = (node.member for node in state.nodes["bank"])
    first.expert = first.expert.with_values(first.expert.values + 1)
    second.history = (*second.history, "x")
    assert [mates(device) for device in range(3)] == [["bank"], ["bank"], ["bank", "local"]]


def test_a_job_has_a_rate_for_every_part_of_its_expert() -> None:
    names = ("proposed", "oracle")
    state = FederationState({name: world(name, PLACES).state.nodes[name] for name in names}, Ledger())

    def rates(**train: Any) -> dict[tuple[float, ...], set[tuple[str, ...]]]:
        (jobs,) = distinct_jobs(config(**train), [get_method(name) for name in names], state, 3).values()
        found: dict[tuple[float, ...], set[tuple[str, ...]]] = {}
        for key, who in jobs.items():
            found.setdefault(key[3], set()).add(tuple(name for name, _ in who))
        return found

    assert rates(lora_lr=2e-3) == {(1e-3, 2e-3): {names}}
    assert rates(rates={"oracle": 3e-3}) == {(1e-3, 1e-3): {("proposed",)}, (3e-3, 3e-3): {("oracle",)}}
