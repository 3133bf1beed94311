"""What goes on hop by hop in a single cluster: by hand, and as plans reckon it against rounds that are flown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flying import Counted, World, world
from meshtune.network.geometry import geometry_of
from meshtune.network.mean_links import flow
from meshtune.node.dissemination import outages, window
from meshtune.planning.one_cluster import ClusterExchange, exchange_by_hops
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


@dataclass
class Flown:
    """A round that was flown and what a plan makes of it: copies by device, own and of others."""

    world: World
    plan: ClusterExchange
    own: list[int]
    passed: list[int]


def both(count: int, graph: dict[str, Any], name: str = "proposed", **radio: Any) -> Flown:
    """Devices of one group at drawn places, one round that ends in an exchange."""
    where = [(x, y) for x, y in np.random.default_rng(count).uniform(0, 100, (count, 2)).tolist()]
    w = world(
        name,
        where,
        "a" * count,
        radio={"fading": "none", **radio},
        clusters={"kind": "single", "inner_rounds": 1},
        graph=graph,
    )
    ledger = w.state.ledger = Counted()
    w.play()
    ground = geometry_of(w.network.site)
    found = flow(ground, w.network.formed.linked.asked, w.network.formed.bits)
    relay = w.method.sharing.relays and w.config.graph.relay
    plan = exchange_by_hops(ground, w.network.formed.inner, found.pairs(), w.network.formed.bits, relay)
    devices = range(count)
    return Flown(w, plan, [ledger.own[d] for d in devices], [ledger.passed[d] for d in devices])


@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
@pytest.mark.parametrize(
    ("count", "graph", "radio"),
    [
        (7, {"kind": "ring"}, {}),
        (8, {"kind": "ring"}, {}),
        (11, {"kind": "exponential"}, {}),
        (10, {"kind": "random", "neighbours": 1}, {}),
        (10, {"kind": "geometric", "radius": 45.0}, {}),
        (9, {"kind": "full"}, {"range": 60.0}),
        (9, {"kind": "ring"}, {"range": 60.0}),
    ],
    ids=str,
)
def test_a_plan_counts_the_copies_that_a_round_sends(
    count: int, graph: dict[str, Any], radio: dict[str, Any], cast: str
) -> None:
    flown = both(count, graph, cast=cast, **radio)
    plan, tick = flown.plan, flown.world.state.clocks["proposed"][-1]
    assert (plan.load.own + plan.load.out).tolist() == flown.own
    assert plan.load.passed.tolist() == flown.passed
    assert tick.seconds == pytest.approx(2 + 0.75 + plan.seconds)
    assert plan.seconds == pytest.approx(0.75 * plan.windows)
    assert tick.outages == 0
    near = flown.world.network.formed.inner
    reached = [len(flown.world.versions(device)) for device in range(count)]
    if cast == "unicast":  # each copy brings one device one update
        assert sum(flown.own) == sum(map(len, near.values()))
        assert sum(flown.own) + sum(flown.passed) == sum(reached) - count
    assert plan.links <= {(a, b) for a in near for b in near[a]}


def test_a_ring_brings_everybody_the_newest_of_all() -> None:
    flown = both(8, {"kind": "ring"})
    assert [flown.world.versions(device) for device in range(8)] == [dict.fromkeys(range(8), 1)] * 8
    assert flown.own == [2] * 8
    assert sum(flown.passed) == 8 * (8 - 1 - 2)
    assert flown.plan.windows == 8 // 2 - 1  # the window of the round is the first hop
    flown.world.play()
    assert flown.world.versions(3) == dict.fromkeys(range(8), 2)


def test_energy_is_that_of_the_windows_up_to_headers() -> None:
    flown = both(8, {"kind": "ring"})
    network = flown.world.network
    first = flow(geometry_of(network.site), network.formed.inner, network.formed.bits).budget.sender_energy.sum()
    spent = flown.world.state.clocks["proposed"][-1].sending
    assert first + flown.plan.energy.sum() == pytest.approx(spent, rel=0.05)


def test_differences_are_passed_on_over_a_ring() -> None:
    """In the rounds between, versions stay with neighbours: whoever hears of a device later is told in full."""
    where = [(float(x), 0.0) for x in range(7)]
    more = {"clusters": {"kind": "single", "inner_rounds": 2}, "exchange": {"values": "int8"}}
    w = world("proposed", where, "a" * 7, graph={"kind": "ring"}, **more)
    for number in range(1, 5):
        w.play()
        newest = {source for source, version in w.versions(0).items() if version == number}
        assert newest == (set(range(7)) if number % 2 == 0 else {0, 1, 6})
    held = [member.held for member in w.state.members["proposed"]]
    assert all(torch.equal(held[0][source].values, held[source][source].values) for source in range(7))


@pytest.mark.parametrize(("name", "relay"), [("lora", True), ("proposed", False)])
def test_what_is_not_passed_on_stays_with_neighbours(name: str, relay: bool) -> None:
    flown = both(7, {"kind": "ring", "relay": relay}, name)
    assert (flown.plan.windows, sum(flown.passed)) == (0, 0)
    assert flown.world.versions(3) == {2: 1, 3: 1, 4: 1}
    assert set(flown.world.state.members[name][3].known) == set(range(7))  # announcements always are


def test_devices_that_one_can_pay_for_one_at_a_time_are_reckoned_with() -> None:
    """Power for about half of a full graph's links at once: some go in later windows, by themselves or by others."""
    flown = both(9, {"kind": "full"}, power_dbm=-103.0)
    assert flown.world.state.clocks["proposed"][-1].outages > 0
    assert (flown.plan.load.own + flown.plan.load.out).tolist() == flown.own
    assert flown.plan.load.passed.tolist() == flown.passed
    assert sum(flown.passed) > 0


def test_a_ring_opens_where_a_device_is_away() -> None:
    w = world("proposed", [(float(x), 0.0) for x in range(5)], clusters={"kind": "single"}, graph={"kind": "ring"})
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
