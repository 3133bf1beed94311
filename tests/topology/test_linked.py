"""Who is linked in a single cluster, against graphs by hand and against range and power in whole numbers."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.topology.agnes import form
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import single
from meshtune.topology.collision import expected
from meshtune.topology.config import ClusterConfig, GraphConfig
from meshtune.topology.linked import Linked, linked
from radio_worlds import FACTORS, World, worlds

ALL = ClusterConfig(kind="single")
GRAPHS = [
    GraphConfig(),
    GraphConfig(kind="ring"),
    GraphConfig(kind="exponential"),
    GraphConfig(kind="geometric", radius=6.0),
    GraphConfig(kind="random", neighbours=2),
]


def of(world: World, graph: GraphConfig, seed: int = 3) -> Linked:
    return linked(single(world.air, world.use), ALL, graph, seed)


def line(count: int, step: float = 1.0, reach: float = 100.0) -> LinkBounds:
    """Devices ``step`` metres apart with power for all."""
    where = np.arange(count)[:, None] * np.array([[step, 0.0]])
    return LinkBounds(
        np.arange(count), where, reach, lambda a, b: ((where[a] - where[b]) ** 2).sum(1), 1e9, lambda u: 1.0
    )


def on(
    air: LinkBounds, kind: Literal["full", "ring", "exponential", "geometric"], radius: float | None = None
) -> Linked:
    use = expected(np.full((air.ids.size, 1), 0.1), [10])
    return linked(single(air, use), ALL, GraphConfig(kind=kind, radius=radius), 0)


def fits(world: World, a: int, b: int) -> bool:
    """Whether a link, by itself, is within range and both ends' power."""
    limits = dict(zip(world.ids, world.limits, strict=True))
    cost = FACTORS[1] * world.loss(a, b)
    return world.square(a, b) <= world.reach**2 and cost <= min(limits[a], limits[b])


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.kind)
@settings(max_examples=60, deadline=None)
@given(world=worlds(), random=st.randoms())
def test_links_are_those_asked_for_that_both_ends_can_pay(graph: GraphConfig, world: World, random: object) -> None:
    found = of(world, graph)
    assert list(found.asked) == list(found.heard) == sorted(world.ids)
    for a, near in found.heard.items():
        assert list(near) == [b for b in found.asked[a] if fits(world, a, b)]
        assert a not in near
        assert all(a in found.heard[b] for b in near)
    order = list(range(len(world.ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert of(world.shuffled(order), graph) == found


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 4), st.integers(0, 1 << 30))
def test_all_links_of_a_random_graph_fit_together(world: World, degree: int, seed: int) -> None:
    found = of(world, GraphConfig(kind="random", neighbours=degree), seed)
    assert found.asked == found.heard
    limits = dict(zip(world.ids, world.limits, strict=True))
    for device, near in found.heard.items():
        assert (FACTORS[len(near)] * sum(world.loss(device, d) for d in near) if near else 0) <= limits[device]


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_formed_clusters_link_all_their_members(world: World) -> None:
    clusters = form(world.air, world.use, world.s_max)
    found = linked(clusters, ClusterConfig(s_max=world.s_max), GraphConfig(), 0)
    pairs = {pair for members in clusters.clusters for pair in combinations(members, 2)}
    assert {(a, b) for a, near in found.heard.items() for b in near if a < b} == pairs
    assert found.missing == 0
    assert all(fits(world, a, b) for a, b in pairs)


def test_a_ring_and_an_exponential_graph_by_hand() -> None:
    ring = on(line(6), "ring").heard
    assert ring == {0: (1, 5), 1: (0, 2), 2: (1, 3), 3: (2, 4), 4: (3, 5), 5: (0, 4)}
    steps = on(line(32), "exponential").heard
    assert steps[0] == (1, 2, 4, 8, 16, 24, 28, 30, 31)
    assert {len(near) for near in steps.values()} == {9}
    assert on(line(5), "full").heard[2] == (0, 1, 3, 4)
    near = on(line(9), "geometric", 2.0).heard
    assert (near[0], near[4], near[8]) == ((1, 2), (2, 3, 5, 6), (6, 7))


def test_ids_need_not_be_places_in_a_list() -> None:
    world = World((7, 3, 40), ((0, 0), (1, 0), (2, 0)), (1024,) * 3, ((0.1,),) * 3, (8,), 0.5, 18, None, 1)
    assert of(world, GraphConfig(kind="ring")).heard == {3: (7, 40), 7: (3, 40), 40: (3, 7)}


def test_what_the_graph_makes_of_a_device_is_one_sentence() -> None:
    broken = on(line(6, step=10.0, reach=45.0), "ring")
    assert broken.heard[0] == (1,)
    assert (broken.missing, broken.pairs) == (1, 6)
    assert broken.why(0) == (
        "all devices are one cluster (clusters.kind=single), and graph.kind=ring links device 0 to 1"
    )
    apart = LinkBounds(
        np.arange(4),
        np.array([[0.0, 0.0], [50.0, 0.0], [1.0, 0.0], [51.0, 0.0]]),
        10.0,
        lambda a, b: np.ones(len(a)),
        1.0,
        lambda u: 0.1,
    )
    lone = on(apart, "ring")
    assert lone.alone(apart)[0] == lone.why(0)
    assert lone.why(0) == "device 0 is alone: graph.kind=ring links it to 1 and 3, and range or power to none of these"
    small = on(apart, "geometric", 0.5)
    assert small.why(3) == "device 3 is alone: graph.kind=geometric (graph.radius=0.5) links it to nobody"
    assert list(small.alone(apart)) == [0, 1, 2, 3]
    assert on(apart, "full").alone(apart) == {}
    far = line(2, step=200.0)
    assert (
        on(far, "ring").alone(far)[0]
        == "device 0 is alone: no other device is within 100 m, the nearest, 1, is 200 m away"
    )
