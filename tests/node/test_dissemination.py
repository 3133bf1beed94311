"""What goes on hop by hop in a single cluster, by hand and over rounds that are flown."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flying import world
from meshtune.node.dissemination import outages, window
from meshtune.topology.graphs import neighbours

PATH = {0: (1,), 1: (0, 2), 2: (1,)}


def offers(held: dict[int, set[int]], one_copy: bool = False, graph: Any = PATH) -> list[tuple[int, int, int]]:
    """One window in which everybody passes on what it holds."""
    links = {(a, b) for a, near in graph.items() for b in near}
    return window(graph, links, lambda b, _: sorted(set(graph) - held[b]), lambda a, b, s: s in held[a], one_copy)


def test_each_is_brought_what_it_lacks_once_by_the_lowest_that_has_it() -> None:
    assert offers({0: {0, 1}, 1: {0, 1, 2}, 2: {1, 2}}) == [(1, 0, 2), (1, 2, 0)]
    square = {0: (1, 2), 1: (0, 3), 2: (0, 3), 3: (1, 2)}
    held = {0: {0, 1, 2}, 1: {0, 1, 3}, 2: {0, 2, 3}, 3: {1, 2, 3}}
    assert offers(held, graph=square) == [(1, 0, 3), (0, 1, 2), (0, 2, 1), (1, 3, 0)]
    assert offers({device: set(range(4)) for device in range(4)}, graph=square) == []


def test_a_broadcast_is_one_update_a_sender() -> None:
    star = {0: (1, 2, 3), 1: (0,), 2: (0,), 3: (0,)}
    held = {0: {0, 1, 2, 3}, 1: {0, 1}, 2: {0, 2}, 3: {0, 3}}
    assert offers(held, graph=star) == [(0, 1, 2), (0, 2, 1), (0, 3, 1)]
    assert offers(held, one_copy=True, graph=star) == [(0, 2, 1), (0, 3, 1)]


def test_a_link_is_given_up_when_it_is_in_outage_alone() -> None:
    hops = [(0, 1, 5), (0, 2, 5), (3, 4, 5)]
    assert outages(hops, [True, False, False], False) == [(3, 4)]
    assert outages(hops, [True, False, False], True) == [(0, 2), (3, 4)]
    assert outages(hops, [True, True, True], False) == []


def test_differences_are_passed_on_over_a_ring() -> None:
    """In the rounds between, versions stay with neighbours: whoever hears of a device later is told in full."""
    where = [(float(x), 0.0) for x in range(7)]
    more = {"clusters": {"kind": "single", "inner_rounds": 2}, "exchange": {"values": "int8"}}
    w = world("bank", where, "a" * 7, graph={"kind": "ring"}, **more)
    for number in range(1, 5):
        w.play()
        newest = {source for source, version in w.versions(0).items() if version == number}
        assert newest == (set(range(7)) if number % 2 == 0 else {0, 1, 6})
    held = [member.held for member in w.state.members["bank"]]
    assert all(torch.equal(held[0][source].values, held[source][source].values) for source in range(7))


def test_a_ring_opens_where_a_device_is_away() -> None:
    w = world("bank", [(float(x), 0.0) for x in range(5)], clusters={"kind": "single"}, graph={"kind": "ring"})
    assert w.network.formed.without({2}) == {0: (1, 4), 1: (0,), 3: (4,), 4: (0, 3)}


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 24), st.sampled_from(["ring", "exponential"]), st.booleans())
def test_every_update_reaches_everybody_once(count: int, kind: str, one_copy: bool) -> None:
    """Over links that carry everything, by the rule alone."""
    graph = neighbours(kind, count)
    held = {device: {device, *graph[device]} for device in graph}
    copies = 0
    while hops := offers(held, one_copy, graph):
        assert len({hop[:2] for hop in hops}) == len(hops)
        if one_copy:
            assert len({(sender, source) for sender, _, source in hops}) == len({hop[0] for hop in hops})
        for _, receiver, source in hops:
            assert source not in held[receiver]
            held[receiver].add(source)
        copies += len(hops)
    assert all(known == set(graph) for known in held.values())
    assert copies == sum(count - 1 - len(near) for near in graph.values())
