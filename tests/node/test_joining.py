"""Devices known by any ids: the same federation whatever they are called, and one that joins after some rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flying import LAYERS, RANK
from meshtune.adapter.blocks import capacity
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.sites import sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import BESIDE_COMMON
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.network.federation_state import FederationState
from meshtune.node.block_claims import BlockClaims
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.node.updates import UpdateRules
from meshtune.simulator.free_links import FreeExchange
from meshtune.simulator.introducing import introduce, nodes_of
from meshtune.simulator.rounds import exchange_round
from meshtune.wire.ledger import Ledger

GROUPS = ["a", "b", "a", "c"]
Graph = Mapping[int, Sequence[int]]
ADAPTER = AdapterConfig(rank=RANK)


def announcement(device: int, place: int, group: str, block: int, kind: str) -> Announcement:
    draw = np.random.default_rng(place)
    masks = tuple(np.sort(draw.choice(size, 16, replace=False)) for size in sizes(LAYERS, RANK))
    recipe = Recipe(seed=3, kind=kind, block=block, rank=RANK)
    own = tuple(np.sort(draw.choice(size, 8, replace=False)) for size in sizes(LAYERS, BESIDE_COMMON.columns(ADAPTER)))
    return Announcement(device, group, 10 * (place + 1), recipe, masks, others={BESIDE_COMMON.name: own})


def federation(name: str, ids: Sequence[int]) -> tuple[list[Node], Graph, FederationState]:
    """Devices in a ring, each with a device of its own place in it, who know each other."""
    method, factory = get_method(name), ExpertFactory(LAYERS, ADAPTER, seed=5)
    kind = "gaussian" if name == "paper" else "orthogonal"  # there are as many blocks as ids, whatever they are
    own = [announcement(one, place, GROUPS[place], ord(GROUPS[place]) - 97, kind) for place, one in enumerate(ids)]
    nodes = nodes_of([method.announces(one, factory) for one in own], method, factory, {}, True)
    graph = {one: sorted({ids[place - 1], ids[(place + 1) % len(ids)]}) for place, one in enumerate(ids)}
    state = FederationState({name: nodes}, Ledger())
    introduce(nodes, graph, state.ledger)
    for node in nodes:
        node.begin()
        node.links = tuple(graph[node.device])
    return nodes, graph, state


def play(nodes: Sequence[Node], state: FederationState) -> None:
    """A round in which values move by a known random step, that of a device's place, instead of being trained."""
    state.round += 1
    method, factory = nodes[0].method, nodes[0].rules.factory
    factory.release()
    for place, node in enumerate(nodes):
        draw = np.random.default_rng([state.round, place])
        step = torch.from_numpy(draw.laplace(size=node.member.expert.count).astype("f4")) * 0.01
        node.member.expert = node.member.expert.with_values(node.member.expert.values + step)
    exchange_round(nodes, UpdateRules(method, factory, ExchangeConfig(), state.round), FreeExchange(), state)


@pytest.mark.parametrize("name", ["bank", "proposed", "paper", "lora"])
@settings(max_examples=15, deadline=None)
@given(ids=st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=4, unique=True))
def test_a_device_may_have_any_id(name: str, ids: list[int]) -> None:
    """Ids say who is lower, where somebody has to be, and nothing else."""
    plain, _, first = federation(name, range(4))
    called, _, second = federation(name, sorted(ids))
    for _ in range(3):
        play(plain, first)
        play(called, second)
    at = dict(enumerate(sorted(ids)))
    for one, other in zip(plain, called, strict=True):
        assert not other.refused
        assert other.device == at[one.device]
        assert torch.equal(one.member.expert.values, other.member.expert.values)
        held = {at[source]: update for source, update in one.member.held.items()}
        assert held.keys() == other.member.held.keys()
        for source, update in other.member.held.items():
            assert (update.version, update.digest) == (held[source].version, held[source].digest)


def test_a_device_joins_when_rounds_were_played() -> None:
    """It hears which blocks are taken, claims one for a task that nobody had, and is in everybody's bank afterwards."""
    ids, new = [7, 2**40, 3, 12], 1
    nodes, graph, state = federation("bank", ids)
    for _ in range(2):
        play(nodes, state)
    room = capacity([layer.inputs for layer in LAYERS], RANK)
    claims = {node.device: BlockClaims(node.device, node.member.own.group, room) for node in nodes}
    claims[new] = BlockClaims(new, "d", room)
    links = {**{one: [*near, *([new] if one == 7 else [])] for one, near in graph.items()}, new: [7]}
    waiting: list[Envelope] = []
    for device in (*ids, new):
        waiting += claims[device].meet(links[device])
    for device in (7, 2**40, 12, new):  # in whichever order: the one of device 3 is claimed by 7
        waiting += claims[device].claim()
        while waiting:
            one = waiting.pop(0)
            waiting += claims[one.receiver].receive(one.sender, one.data)
    assert claims[new].blocks == {"a": 0, "b": 1, "c": 2, "d": 3} == claims[2**40].blocks
    block = claims[new].block
    assert block is not None
    method, factory = nodes[0].method, nodes[0].rules.factory
    (joined,) = nodes_of(
        [method.announces(announcement(new, 4, "d", block, "orthogonal"), factory)], method, factory, {}, True
    )
    joined.begin_round(nodes[0].rules)
    nodes = [*nodes, joined]
    state.nodes["bank"] = nodes
    introduce(nodes, {one: sorted(near) for one, near in links.items()}, state.ledger)
    joined.begin()
    for node in nodes:
        node.links = tuple(sorted(links[node.device]))
    for _ in range(3):
        play(nodes, state)
    for node in nodes:
        assert not node.refused
        assert set(node.member.known) == set(node.member.held) == {*ids, new}
        assert [group for group, _ in method.sources(node.member)] == ["a", "b", "c", "d"]
        rows = [projection(node.member.known[d].recipe, LAYERS[0].site, LAYERS[0].inputs) for d in (7, 2**40, 12, new)]
        stacked = np.concatenate(rows)
        off = stacked @ stacked.T - np.diag(np.diag(stacked @ stacked.T))
        assert np.abs(off).max() < 1e-5 * np.diag(stacked @ stacked.T).min()
    newest = joined.member.held[new]
    for node in nodes:
        assert (
            node.member.held[new].version >= state.round - 2
        )  # the far side of the ring is two hops away from device 7
    assert newest.version == state.round
