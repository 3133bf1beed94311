"""Graphs against networkx's own measures and against hand-drawn ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.topology.graphs import KINDS, components, falls_apart, neighbours


def drawn(found: Mapping[int, Sequence[int]]) -> nx.DiGraph:
    """The same graph for networkx, each direction on its own."""
    graph = nx.DiGraph()
    graph.add_nodes_from(found)
    graph.add_edges_from((device, other) for device, others in found.items() for other in others)
    return graph


def check(found: Mapping[int, Sequence[int]], devices: int) -> None:
    """What holds for every kind: all devices, ascending, both ways, no loops, nothing twice, connected."""
    assert list(found) == list(range(devices))
    graph = drawn(found)
    assert set(graph) == set(range(devices))
    assert all((other, device) in graph.edges for device, other in graph.edges)
    assert nx.number_of_selfloops(graph) == 0
    assert all(list(others) == sorted(set(others)) for others in found.values())
    assert all(type(other) is int for others in found.values() for other in others)
    assert nx.is_strongly_connected(graph)


@pytest.mark.parametrize("devices", [1, 2, 3, 10])
def test_in_a_full_graph_everybody_hears_everybody(devices: int) -> None:
    found = neighbours("full", devices)
    check(found, devices)
    assert nx.density(drawn(found)) == (1 if devices > 1 else 0)


@pytest.mark.parametrize(
    "devices, expected",
    [
        (1, {0: ()}),
        (2, {0: (1,), 1: (0,)}),
        (3, {0: (1, 2), 1: (0, 2), 2: (0, 1)}),
        (4, {0: (1, 3), 1: (0, 2), 2: (1, 3), 3: (0, 2)}),
    ],
)
def test_small_rings_by_hand(devices: int, expected: dict[int, tuple[int, ...]]) -> None:
    assert neighbours("ring", devices) == expected
    check(expected, devices)


@pytest.mark.parametrize("devices", [3, 10, 11])
def test_a_ring_is_one_cycle(devices: int) -> None:
    found = neighbours("ring", devices)
    check(found, devices)
    assert {len(others) for others in found.values()} == {2}
    assert nx.diameter(drawn(found)) == devices // 2
    assert len(nx.cycle_basis(drawn(found).to_undirected())) == 1
    assert found[0] == (1, devices - 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.data(), st.integers(0, 1 << 40))
def test_a_random_graph_is_connected_symmetric_and_seeded(devices: int, data: st.DataObject, seed: int) -> None:
    degree = data.draw(st.integers(1, devices - 1))
    found = neighbours("random", devices, degree, seed)
    check(found, devices)
    assert min(len(others) for others in found.values()) >= degree
    assert drawn(found).number_of_edges() <= 2 * devices * (degree + 1)
    assert neighbours("random", devices, degree, seed) == found


def test_a_random_graph_of_the_highest_degree_is_full() -> None:
    assert neighbours("random", 6, 5, seed=3) == neighbours("full", 6)


def test_another_seed_gives_another_graph() -> None:
    graphs = [neighbours("random", 20, 2, seed) for seed in range(8)]
    assert all(a != b for i, a in enumerate(graphs) for b in graphs[:i])


def test_no_device_is_favoured() -> None:
    """Each pair is linked as often as any other: expectation by symmetry, 5 standard errors of slack."""
    devices, runs = 6, 200
    edges = [drawn(neighbours("random", devices, 1, seed)) for seed in range(runs)]
    share = sum(g.number_of_edges() for g in edges) / runs / (devices * (devices - 1))
    error = (share * (1 - share) / runs) ** 0.5
    for device in range(devices):
        for other in range(device):
            linked = sum(g.has_edge(device, other) for g in edges) / runs
            assert abs(linked - share) < 5 * error


@pytest.mark.parametrize("devices, degree", [(3, 3), (1, 1), (4, 9)])
def test_more_links_than_devices_is_an_error_with_a_remedy(devices: int, degree: int) -> None:
    with pytest.raises(UserError) as caught:
        neighbours("random", devices, degree)
    assert str(caught.value) == (
        f"graph.neighbours={degree} needs more than {degree} devices, there are {devices}: "
        "lower it or use graph.kind=full"
    )


def test_an_unknown_kind_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"there is no graph kind star: choose from full, ring, random"):
        neighbours("star", 4)
    assert KINDS == ("full", "ring", "random", "exponential", "geometric")


@pytest.mark.parametrize("devices", [1, 2, 3, 8, 10, 33])
def test_an_exponential_graph_hears_powers_of_two_away(devices: int) -> None:
    found = neighbours("exponential", devices)
    check(found, devices)
    for device, others in found.items():
        away = {
            (device + sign * (1 << power)) % devices for power in range(6) for sign in (1, -1) if 1 << power < devices
        }
        assert set(others) == away - {device}
    if devices > 1:
        assert nx.diameter(drawn(found)) <= (devices - 1).bit_length()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 1 << 40), st.floats(0.01, 2))
def test_a_geometric_graph_is_networkx_s(devices: int, seed: int, radius: float) -> None:
    where = np.random.default_rng(seed).uniform(size=(devices, 2))
    graph = nx.empty_graph(devices)
    nx.set_node_attributes(graph, dict(enumerate(where.tolist())), "pos")
    graph.add_edges_from(nx.geometric_edges(graph, radius))
    found = neighbours("geometric", devices, positions=where, radius=radius)
    assert found == {device: tuple(sorted(graph[device])) for device in range(devices)}
    assert components(found) == tuple(sorted(tuple(sorted(part)) for part in nx.connected_components(graph)))
    assert (falls_apart(found) is None) == nx.is_connected(graph)


def test_a_geometric_graph_needs_a_place_for_each_and_a_radius() -> None:
    with pytest.raises(UserError, match=r"a geometric graph of radius None has no links: give a radius above 0 in"):
        neighbours("geometric", 2, positions=[[0, 0], [1, 1]])
    with pytest.raises(UserError, match=r"a geometric graph of radius -1 has no links"):
        neighbours("geometric", 2, positions=[[0, 0], [1, 1]], radius=-1)
    with pytest.raises(UserError, match=r"positions have the shape \(1, 2\), there are 2 devices: give each a"):
        neighbours("geometric", 2, positions=[[0, 0]], radius=1)
    with pytest.raises(UserError, match=r"there are 2 devices: give each a row x, y"):
        neighbours("geometric", 2, radius=1)


def test_what_a_graph_falls_into_is_one_sentence() -> None:
    assert components({0: (2,), 1: (), 2: (0,)}) == ((0, 2), (1,))
    assert falls_apart({0: (2,), 1: (), 2: (0,)}) == (
        "the graph is disconnected into 2 parts of 2, 1 devices, 1 of them a device alone: each trains "
        "separately; raise range, power or airtime to connect them"
    )
    assert falls_apart({0: (1,), 1: (0,), 2: (3,), 3: (2,)}) == (
        "the graph is disconnected into 2 parts of 2, 2 devices: each trains separately; raise range, power or "
        "airtime to connect them"
    )
    assert falls_apart(dict.fromkeys(range(9), ())) == (
        "the graph is disconnected into 9 parts of 1, 1, 1, 1, 1, 1, ... devices, 9 of them devices alone: each "
        "trains separately; raise range, power or airtime to connect them"
    )
    assert falls_apart(neighbours("ring", 5)) is None
