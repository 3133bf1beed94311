"""Which hop is whose, and the ways of messages: against breadth-first searches of another library, and by hand."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.node.negotiation.negotiation_schedule import MaskTurn, NegotiationSchedule, relay_tree

Graph = dict[int, tuple[int, ...]]


@st.composite
def parts(draw: st.DrawFn) -> Graph:
    """A connected graph of some devices, ids with gaps."""
    ids = draw(st.lists(st.integers(0, 30), min_size=1, max_size=7, unique=True))
    edges = {(ids[at], ids[draw(st.integers(0, at - 1))]) for at in range(1, len(ids))}
    edges |= set(draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=8)))
    near: dict[int, set[int]] = {device: set() for device in ids}
    for a, b in edges:
        if a != b:
            near[a].add(b)
            near[b].add(a)
    return {device: tuple(sorted(others)) for device, others in sorted(near.items())}


@given(parts(), st.data())
def test_ways_are_shortest_and_each_link_is_used_once(graph: Graph, data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(sorted(graph)))
    targets = data.draw(st.sets(st.sampled_from(sorted(graph)))) - {source}
    tree = relay_tree(graph, source, targets)
    lengths = nx.single_source_shortest_path_length(nx.Graph(graph), source)
    assert tree.depth == max((lengths[target] for target in targets), default=0)
    assert tree.parents.keys() >= targets
    assert source not in tree.parents
    for device, parent in tree.parents.items():
        assert device in graph[parent]
        assert lengths[device] == lengths[parent] + 1
        assert parent == source or parent in tree.parents
    sent = [(sender, receiver) for sender, ends in tree.children.items() for receiver in ends]
    assert sorted(sent) == sorted((parent, device) for device, parent in tree.parents.items())
    assert all(list(ends) == sorted(ends) for ends in tree.children.values())
    leaves = tree.parents.keys() - tree.children.keys()
    assert leaves <= targets  # nobody is sent what is of no use to it or behind it


def test_of_two_ways_the_one_over_the_lower_id() -> None:
    square = {0: (1, 2), 1: (0, 3), 2: (0, 3), 3: (1, 2)}
    assert relay_tree(square, 0, [3]).parents == {1: 0, 3: 1}
    assert relay_tree(square, 3, [0, 2]).children == {3: (1, 2), 1: (0,)}


def test_turns_follow_each_other_when_all_has_arrived() -> None:
    path = {0: (1,), 1: (0, 2), 2: (1, 3), 3: (2,)}
    schedule = NegotiationSchedule(path, {0: "b", 1: "a", 2: "c", 3: "b"})
    assert list(schedule.turns.values()) == [
        MaskTurn("a", (1,), 0, 0),  # to 0, 2 and over it 3: two hops
        MaskTurn("b", (0, 3), 2, 5),  # each other's proposals take three, the claim of 0 to 1 and 2 two
        MaskTurn("c", (2,), 7, 7),  # to 1 and 3, and over 1 to 0
    ]
    assert schedule.hops == 9
    assert schedule.tree("claim", 0).children == {0: (1,), 1: (2,)}  # 3 has voted too


@pytest.mark.parametrize(("groups", "hops"), [("a", 0), ("aa", 1), ("ab", 2), ("aab", 3)])
def test_who_hears_all_needs_a_hop_a_message(groups: str, hops: int) -> None:
    count = range(len(groups))
    graph = {device: tuple(other for other in count if other != device) for device in count}
    assert NegotiationSchedule(graph, dict(enumerate(groups))).hops == hops
