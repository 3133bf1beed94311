"""Links between clusters against networkx's spanning forests."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.topology.agnes import form
from meshtune.topology.backbone import Backbone, backbone
from meshtune.topology.clusters import Clusters
from radio_worlds import FACTORS, World, worlds


def found_in(world: World) -> tuple[Clusters, Backbone]:
    clusters = form(world.air, world.use, world.s_max)
    return clusters, backbone(clusters)


def between(world: World, clusters: Clusters) -> nx.Graph:
    """Clusters, linked by the cheapest pair of devices in range that can pay: joules of both ends."""
    graph = nx.empty_graph(len(clusters.clusters))
    for a, b in combinations(world.ids, 2):
        ends = clusters.index[a], clusters.index[b]
        watts = world.loss(a, b)
        limit = min(world.limits[world.ids.index(end)] for end in (a, b))
        if ends[0] == ends[1] or world.square(a, b) > world.reach**2 or watts > limit:
            continue
        if watts < graph.get_edge_data(*ends, {"weight": float("inf")})["weight"]:
            graph.add_edge(*ends, weight=watts)
    return graph


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_with_power_to_spare_it_is_the_minimum_spanning_forest(world: World) -> None:
    world = replace(world, limits=(1 << 30,) * len(world.ids))
    clusters, found = found_in(world)
    graph = between(world, clusters)
    forest = nx.minimum_spanning_tree(graph)
    assert sum(link.energy for link in found.links) == pytest.approx(2 * 0.5 * forest.size("weight"))
    assert set(found.parts) == {tuple(sorted(part)) for part in nx.connected_components(graph)}
    assert [link.energy for link in found.links] == sorted(link.energy for link in found.links)


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_no_device_breaks_its_power_and_links_connect_the_parts(world: World) -> None:
    clusters, found = found_in(world)
    joined = nx.empty_graph(len(clusters.clusters))
    joined.add_edges_from((clusters.index[link.low], clusters.index[link.high]) for link in found.links)
    assert nx.is_forest(joined)
    assert set(found.parts) == {tuple(sorted(part)) for part in nx.connected_components(joined)}
    for device, others in found.neighbours().items():
        watts = sum(world.loss(device, other) for other in others)
        need = FACTORS[len(others)] * watts if others else 0
        assert need <= world.limits[world.ids.index(device)]
        assert found.power.get(device, 0) == pytest.approx(need)
    spare = replace(world, limits=(1 << 30,) * len(world.ids))
    assert len(found.links) <= nx.minimum_spanning_tree(between(spare, clusters)).number_of_edges()


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_routes_follow_links_and_take_the_fewest_hops(world: World) -> None:
    clusters, found = found_in(world)
    graph = nx.empty_graph(world.ids)
    for near in (clusters.neighbours(), found.neighbours()):
        graph.add_edges_from((device, other) for device, others in near.items() for other in others)
    for source in world.ids:
        lengths = nx.single_source_shortest_path_length(graph, source)
        for target in world.ids:
            route = found.route(source, target)
            if route is None:
                assert target not in lengths
            else:
                assert (route[0], route[-1]) == (source, target)
                assert nx.is_simple_path(graph, list(route))
                assert len(route) - 1 == lengths[target]


CHAIN = World((0, 1, 2, 3), ((0, 0), (1, 0), (4, 0), (40, 0)), (64, 64, 64, 64), ((1.0,),) * 4, (8,), 0.5, 5, None, 1)


def test_a_chain_by_hand() -> None:
    clusters, found = found_in(CHAIN)
    assert clusters.clusters == ((0,), (1,), (2,), (3,))
    assert [(link.low, link.high, link.energy) for link in found.links] == [(0, 1, 1.0), (1, 2, 9.0)]
    assert found.parts == ((0, 1, 2), (3,))
    assert found.power == pytest.approx({0: 1, 1: 2 * (1 + 9), 2: 9})
    assert found.route(0, 2) == (0, 1, 2)
    assert found.route(0, 0) == (0,)
    assert found.route(0, 3) is None
    with pytest.raises(UserError, match="there is no device 8 among the 4: name one of them"):
        found.route(0, 8)


def test_where_a_device_cannot_carry_two_links_the_next_pair_stands_in() -> None:
    """Device 1 pays 1 + 9 twice over (20) only with more than 16 W; then 0 reaches 2 itself for 16."""
    poor = replace(CHAIN, limits=(64, 16, 64, 64))
    _, found = found_in(poor)
    assert [(link.low, link.high) for link in found.links] == [(0, 1), (0, 2)]


@settings(max_examples=50, deadline=None)
@given(worlds(), st.data())
def test_links_avoid_who_is_absent(world: World, data: st.DataObject) -> None:
    clusters, whole = found_in(world)
    assert backbone(clusters, ()) == whole
    absent = data.draw(st.sets(st.sampled_from(world.ids)))
    found = backbone(clusters, absent)
    assert not absent & {end for link in found.links for end in (link.low, link.high)}
