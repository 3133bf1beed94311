"""How announcements reach everybody: each copy once, in as few hops as the graph allows, and as many as plans count."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flying import LAYERS, Counted, World, shake_hands, world
from meshtune.methods.state import Announcement
from meshtune.node.announcements import to_messages
from meshtune.node.dissemination import spread
from meshtune.node.receiving import from_messages
from meshtune.planning.planner import plan
from meshtune.planning.round_costs import announced
from meshtune.topology.graphs import neighbours
from meshtune.wire.ledger import INVENTORY, Ledger
from meshtune.wire.payload import byte_split, decode, encode

Graph = dict[int, tuple[int, ...]]
ROW = [(40.0 * k, 0.0) for k in range(12)]
DISC: list[tuple[float, float]] = [(x, y) for x, y in np.random.default_rng(4).uniform(0, 150, (14, 2)).tolist()]


def path(count: int) -> Graph:
    return {d: tuple(other for other in (d - 1, d + 1) if 0 <= other < count) for d in range(count)}


def alone(count: int) -> list[set[int]]:
    """Everybody knows itself only."""
    return [{device} for device in range(count)]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph of a few devices, in one part or in several."""
    count = draw(st.integers(1, 12))
    pairs = [(a, b) for a in range(count) for b in range(a)]
    links = draw(st.sets(st.sampled_from(pairs), max_size=24)) if pairs else set()
    near: list[set[int]] = [set() for _ in range(count)]
    for a, b in links:
        near[a].add(b)
        near[b].add(a)
    return {device: tuple(sorted(others)) for device, others in enumerate(near)}


def drawn(graph: Graph) -> nx.Graph:
    found = nx.Graph()
    found.add_nodes_from(graph)
    found.add_edges_from((a, b) for a, near in graph.items() for b in near)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_a_path_takes_every_pair_once_and_its_length(count: int) -> None:
    hops = list(spread(path(count), alone(count)))
    assert len(hops) == count - 1
    assert sum(map(len, hops)) == count * (count - 1)
    assert [len(hop) for hop in hops] == [2 * (count - far) for far in range(1, count)]
    assert all(abs(sender - receiver) == 1 for hop in hops for sender, receiver, _ in hop)


def test_a_square_by_hand() -> None:
    """What lies across comes from both sides, and the lower one alone sends it."""
    square = {0: (1, 2), 1: (0, 3), 2: (0, 3), 3: (1, 2)}
    first, second = spread(square, alone(4))
    assert first == [(1, 0, 1), (2, 0, 2), (0, 1, 0), (3, 1, 3), (0, 2, 0), (3, 2, 3), (1, 3, 1), (2, 3, 2)]
    assert second == [(1, 0, 3), (0, 1, 2), (0, 2, 1), (1, 3, 0)]


def test_what_a_source_can_say_itself_nobody_else_does() -> None:
    """1 comes to 0 and 2, who know each other; 0 knows 2's, and is lower, but 2 is there to say it."""
    triangle = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
    assert list(spread(triangle, [{0, 2}, {1}, {0, 2}])) == [[(1, 0, 1), (0, 1, 0), (2, 1, 2), (1, 2, 1)]]


def test_those_who_left_are_told_of_by_who_knew_them() -> None:
    assert list(spread(path(2) | {2: ()}, [{0, 2}, {1}, {2}])) == [[(1, 0, 1), (0, 1, 0), (0, 1, 2)]]


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_every_hop_brings_what_is_that_far(graph: Graph) -> None:
    far = dict(nx.all_pairs_shortest_path_length(drawn(graph)))
    known = alone(len(graph))
    number = 0
    for number, hop in enumerate(spread(graph, alone(len(graph))), 1):
        brought = [(receiver, source) for _, receiver, source in hop]
        assert len(set(brought)) == len(brought)
        assert set(brought) == {(a, b) for a in graph for b in far[a] if far[a][b] == number}
        for sender, receiver, source in hop:
            knows = [device for device in graph[receiver] if source in known[device]]
            assert sender == (source if source in graph[receiver] else min(knows))
        for receiver, source in brought:
            known[receiver].add(source)
    assert number == max(max(each.values()) for each in far.values())
    assert known == [set(far[device]) for device in graph]


@settings(max_examples=100, deadline=None)
@given(graphs(), st.data())
def test_whatever_is_known_before_is_not_said_again(graph: Graph, data: st.DataObject) -> None:
    """Against the rule played word by word, with all that neighbours know looked at anew in every hop."""
    count = len(graph)
    before = [{device} | data.draw(st.sets(st.integers(0, count - 1))) for device in range(count)]
    known = [set(each) for each in before]
    for hop in spread(graph, before):
        expected = []
        for receiver, near in graph.items():
            for source in sorted(set().union(*(known[device] for device in near)) - known[receiver]):
                sender = source if source in near else next(d for d in near if source in known[d])
                expected.append((sender, receiver, source))
        assert hop == expected
        for _, receiver, source in hop:
            known[receiver].add(source)
    for part in nx.connected_components(drawn(graph)):
        everything = set().union(*(before[device] for device in part))
        assert all(known[device] == everything for device in part)


def shaken(w: World, graph: Any = None) -> tuple[Counted, list[dict[tuple[int, int], int]], list[Announcement]]:
    """Shake hands again; one message each, for small experts have no statistics."""
    own, ledger = [member.own for member in w.state.members[w.method.name]], Counted()
    hops: list[dict[tuple[int, int], int]] = []
    graph = w.network.formed.graph if graph is None else graph
    known = shake_hands(own, w.method, graph, ledger, hops)
    far = dict(nx.all_pairs_shortest_path_length(drawn(graph)))
    assert [sorted(each) for each in known] == [sorted(far[device]) for device in sorted(graph)]
    return ledger, hops, own


def sent_by(ledger: Ledger, device: int) -> dict[str, int]:
    """Return what left a device, by kind, the kinds it sent nothing of left out."""
    return {kind: count for kind, count in ledger.per_device("bank")[device].items() if count and kind != INVENTORY}


def test_bytes_are_by_kind_from_the_source_and_relayed_from_others() -> None:
    w = world("bank", ROW[:4], radio={"range": 50.0}, clusters={"kind": "single"})
    ledger, hops, own = shaken(w, path(4))
    splits = []
    for announcement in own:
        (message,) = to_messages(announcement, w.method, LAYERS)
        splits.append(byte_split(message, encode(message)))
    size = [sum(split.values()) for split in splits]
    assert hops == [
        {(1, 0): size[1], (0, 1): size[0], (2, 1): size[2], (1, 2): size[1], (3, 2): size[3], (2, 3): size[2]},
        {(1, 0): size[2], (2, 1): size[3], (1, 2): size[0], (2, 3): size[1]},
        {(1, 0): size[3], (2, 3): size[0]},
    ]
    relayed = [0, size[0] + size[2] + size[3], size[0] + size[1] + size[3], 0]
    for device, near in enumerate([1, 2, 2, 1]):
        expected = {kind: near * count for kind, count in splits[device].items()} | {"relayed": relayed[device]}
        assert sent_by(ledger, device) == {kind: count for kind, count in expected.items() if count}


def test_facts_that_nobody_reads_any_more_do_no_harm() -> None:
    """An announcement named its sender's neighbours once; such messages are read as ever."""
    w = world("bank", ROW[:2])
    own = w.state.members["bank"][0].own
    (message,) = to_messages(own, w.method, LAYERS)
    old = decode(encode(replace(message, meta={**message.meta, "near": [1]})))
    assert from_messages([old], LAYERS, own.recipe).mask_digest == own.mask_digest


@pytest.mark.parametrize("count", [2, 5, 9])
def test_in_a_full_graph_everybody_says_it_to_everybody(count: int) -> None:
    w = world("bank", ROW[:count], "a" * count, clusters={"kind": "single"})
    ledger, hops, own = shaken(w, neighbours("full", count))
    for device, announcement in enumerate(own):
        (message,) = to_messages(announcement, w.method, LAYERS)
        split = byte_split(message, encode(message))
        assert sent_by(ledger, device) == {kind: (count - 1) * each for kind, each in split.items() if each}
    assert [len(hop) for hop in hops] == [count * (count - 1)]


CIRCLE = [(50 * math.cos(math.pi * k / 6), 50 * math.sin(math.pi * k / 6)) for k in range(12)]


@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
@pytest.mark.parametrize(
    ("where", "clusters", "graph", "radio"),
    [
        (ROW, {"most": 2}, {}, {"range": 50.0}),
        (DISC, {"most": 4}, {}, {"range": 70.0}),
        ([*DISC, (9000.0, 0.0)], {"most": 3}, {}, {"range": 70.0}),
        (CIRCLE, {"kind": "single"}, {"kind": "full"}, {}),
        (DISC, {"kind": "single"}, {"kind": "full"}, {"range": 70.0}),
        (CIRCLE, {"kind": "single"}, {"kind": "ring"}, {}),
        ([*CIRCLE, (9000.0, 0.0)], {"kind": "single"}, {"kind": "ring"}, {"range": 70.0}),
        (CIRCLE, {"kind": "single"}, {"kind": "exponential"}, {}),
        (DISC, {"kind": "single"}, {"kind": "geometric", "radius": 60.0}, {}),
        (DISC, {"kind": "single"}, {"kind": "random", "neighbours": 2}, {}),
    ],
    ids=[
        "row in pairs", "clusters", "clusters and one alone", "full", "full, some out of range", "ring",
        "ring and one alone", "exponential", "geometric", "random",
    ],
)  # fmt: skip
def test_a_plan_counts_the_announcements_of_a_run_device_by_device(
    where: list[tuple[float, float]], clusters: dict[str, Any], graph: dict[str, Any], radio: dict[str, Any], cast: str
) -> None:
    w = world(
        "bank",
        where,
        "a" * len(where),
        radio={"fading": "none", "cast": cast, **radio},
        clusters={"s_max": 1.0, "rate": "expected", "inner_rounds": 2, **clusters},
        graph=graph,
        train={"rounds": 1},  # without an exchange that passes on updates
        model={"name": "tiny-random"},
        adapter={"rank": 4, "budget": "uniform"},
    )
    ledger, single = shaken(w)[0], w.config.clusters.kind == "single"
    told = announced(w.network.formed.linked, w.network.formed.backbone, single)
    devices = range(len(where))
    assert told.own.tolist() == [ledger.own[device] for device in devices]
    assert told.passed.tolist() == [ledger.passed[device] for device in devices]
    found = plan(w.config)
    if not single:  # formed for another payload: greet over the plan's own clusters
        ledger = shaken(
            w, {device.device: tuple(sorted({*device.neighbours, *device.between})) for device in found.devices}
        )[0]
    (method,) = found.methods
    once = method.mask + method.router + method.control
    for device in found.devices:
        run = device.bytes["bank"].run
        assert run["masks"] == ledger.own[device.device] * method.mask
        assert run["router"] == ledger.own[device.device] * method.router
        assert run["relayed"] == ledger.passed[device.device] * once
    reached = sum(part * (part - 1) for part in found.parts)
    assert sum(ledger.own.values()) + sum(ledger.passed.values()) == reached
