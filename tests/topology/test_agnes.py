"""Merging by the lowest key against the plain O(K^3) greedy in exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greedy import greedy
from meshtune.seeds import stream
from meshtune.topology.agnes import form
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import expected, rows
from meshtune.topology.why import explain
from radio_worlds import World, worlds


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_clusters_are_those_of_the_plain_greedy(world: World) -> None:
    assert form(world.air, world.use, world.s_max).clusters == greedy(world.ids, world.key)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms())
def test_the_order_of_the_rows_does_not_matter(world: World, random: object) -> None:
    order = list(range(len(world.ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = world.shuffled(order)
    found = form(world.air, world.use, world.s_max)
    assert found == form(other.air, other.use, world.s_max)
    for device in world.ids:
        assert str(explain(found, device)) == str(explain(form(other.air, other.use, world.s_max), device))


def random_air(devices: int, seed: int, power: float, reach: float = 200.0) -> LinkBounds:
    """Devices in a square, d^-2, 20 MHz, -174 dBm/Hz, ten million bits in half a second."""
    where = stream(seed, "where").uniform(0, 500, (devices, 2))
    return LinkBounds(
        np.arange(devices),
        where,
        reach,
        lambda a, b: ((where[a] - where[b]) ** 2).sum(1),
        power,
        lambda u: 10**-20.4 * 2e7 / u * (2 ** (1e7 * u / 2e7 / 0.5) - 1),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("power", [1e-9, 1e-7])
def test_the_paper_s_radio_against_the_plain_greedy_in_floats(seed: int, power: float) -> None:
    air = random_air(60, seed, power)
    densities = stream(seed, "densities").uniform(0, 0.2, (60, 5))
    exact = np.rint(densities * 65535) / 65535

    def key(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, float, int, int] | None:
        union = np.array(sorted(a + b))
        x, y = air.positions[union].T
        square = (x - x[:, None]) ** 2 + (y - y[:, None]) ** 2
        s = exact[union]
        once = sum(s[j] * np.delete(1 - s, j, 0).prod(0) for j in range(len(s)))
        rate = float((1 - (1 - s).prod(0) - once).mean())
        watts = air.factor(len(union) - 1) * square.sum(1)
        if square.max() > 200**2 or watts.max() > power or rate > 0.05:
            return None
        return int(rate / 1e-3), float(watts.sum()), min(a[0], b[0]), max(a[0], b[0])

    found = form(air, expected(densities, [7] * 5), 0.05).clusters
    assert found == greedy(range(60), key)
    assert max(map(len, found)) > 1


def test_ties_go_to_lower_ids() -> None:
    """A square of side 1: all four sides cost the same."""
    world = World((4, 9, 2, 7), ((0, 0), (1, 0), (1, 1), (0, 1)), (64,) * 4, ((0.0,),) * 4, (8,), 1.0, 1, 2, 1)
    assert form(world.air, world.use).clusters == ((2, 7), (4, 9))


def test_dense_masks_are_legal_and_share_a_cluster_only_at_s_max_1() -> None:
    """LoRA: every position used, s = 1."""
    world = World((0, 1, 2), ((0, 0), (1, 0), (0, 1)), (1024,) * 3, ((1.0,),) * 3, (8,), 1.0, 9, None, 1)
    assert form(world.air, world.use, 1.0).clusters == ((0, 1, 2),)
    assert form(world.air, world.use, 1.0).rates == (1.0,)
    assert form(world.air, world.use, 0.99).clusters == ((0,), (1,), (2,))


def test_rows_keep_apart_what_layers_would_join() -> None:
    """Masks of density 1/4 on the same rows, or on different ones."""
    air = random_air(3, 0, 1.0, 900.0)
    counts = np.array([[4, 4, 0, 0, 0, 0, 0, 0], [4, 4, 0, 0, 0, 0, 0, 0], [0, 0, 4, 4, 0, 0, 0, 0]])
    assert form(air, expected(counts.sum(1, keepdims=True) / 32, [32]), 0.2).clusters == ((0, 1, 2),)
    found = form(air, rows(counts, 4), 0.2).clusters
    assert sorted(map(len, found)) == [1, 2]
    assert 2 in next(cluster for cluster in found if len(cluster) == 2)


@pytest.mark.parametrize(("metres", "clusters"), [(5, ((0, 1), (2, 3))), (6, ((0, 1, 2), (3,)))])
def test_a_pair_and_a_larger_cluster_are_compared_by_the_energy_of_all_their_members(
    metres: int, clusters: tuple[tuple[int, ...], ...]
) -> None:
    """0 and 1 merge first. With 2 they need 2 * 2 (1 + 9 + 4) = 56 W in all; 2 and 3 need 2 * 25 or 2 * 36."""
    places = ((0, 0), (1, 0), (3, 0), (3 + metres, 0))
    world = World((0, 1, 2, 3), places, (1024,) * 4, ((0.0,),) * 4, (8,), 1.0, 18, 3, 1)
    assert form(world.air, world.use, 1.0).clusters == clusters
