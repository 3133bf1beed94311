"""Nodes that get to know each other: whom each knows in the end, hop by hop, and what is charged for it."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flying import LAYERS, RANK
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.simulator.introducing import introduce, nodes_of
from meshtune.wire.ledger import INVENTORY, Ledger

PATH = {0: (1,), 1: (0, 2), 2: (1,)}


def made(count: int, clusters: dict[int, int] | None = None, reliable: bool = True) -> list[Node]:
    """Nodes of two groups, each with a mask of its own."""
    method, factory = get_method("bank"), ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    own = []
    for device in range(count):
        masks = tuple(np.arange(device, device + 9) for _ in sizes(LAYERS, RANK))
        own.append(Announcement(device, "ab"[device % 2], 10, Recipe(3, "orthogonal", device % 2, RANK), masks))
    return nodes_of([method.announces(a, factory) for a in own], method, factory, clusters or {}, reliable)


def test_at_first_each_knows_itself_only() -> None:
    nodes = made(3, clusters={0: 0, 1: 1, 2: 1}, reliable=False)
    assert [sorted(node.member.known) for node in nodes] == [[0], [1], [2]]
    assert all(node.member.expert.count == 0 for node in nodes)
    assert all(node.member.timely and not node.reliable for node in nodes)
    assert nodes[1].member.clusters == {0: 0, 1: 1, 2: 1}
    assert not any(node.member.timely for node in made(2))


def test_a_path_by_hand() -> None:
    nodes, ledger, heard = made(3), Ledger(), list[tuple[float, Envelope]]()
    hops, control = introduce(nodes, PATH, ledger, lambda now, one: heard.append((now, one)), now=4.0)
    assert [sorted(hop) for hop in hops] == [[(0, 1), (1, 0), (1, 2), (2, 1)], [(1, 0), (1, 2)]]
    assert [sorted(node.member.known) for node in nodes] == [[0, 1, 2]] * 3
    counted = ledger.total("bank")
    apart = counted.pop(INVENTORY)
    assert sum(counted.values()) == sum(count for hop in hops for count in hop.values())
    assert apart == sum(len(one.data) for said in control for one in said)
    assert counted["relayed"] == hops[1][1, 0] + hops[1][1, 2]
    assert sum(len(one.data) for _, one in heard) == sum(counted.values()) + apart
    assert {now for now, _ in heard} == {4.0}
    assert list(ledger.per_round("bank")) == [0]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.data())
def test_in_any_graph_each_knows_its_part_after_as_many_hops_as_it_is_wide(count: int, data: st.DataObject) -> None:
    graph = nx.empty_graph(count)
    pairs = [(a, b) for a in range(count) for b in range(a)]
    if pairs:
        graph.add_edges_from(data.draw(st.lists(st.sampled_from(pairs), unique=True)))
    nodes = made(count)
    hops, _ = introduce(nodes, {device: tuple(sorted(graph[device])) for device in graph}, Ledger())
    for part in nx.connected_components(graph):
        assert all(sorted(nodes[device].member.known) == sorted(part) for device in part)
    widths = [nx.diameter(graph.subgraph(part)) for part in nx.connected_components(graph)]
    assert len(hops) == max(widths)
