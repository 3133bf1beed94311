"""Graphs against networkx's own measures and against hand-drawn ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.topology.graphs import KINDS, neighbours


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
    assert KINDS == ("full", "ring", "random")
