"""Merging by the lowest key against the plain O(K^3) greedy in exact arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greedy import greedy
from meshtune.config.demo_config import demo_config
from meshtune.network.geometry import geometry_of, link_bounds
from meshtune.network.site import open_site
from meshtune.seeds import stream
from meshtune.topology.agnes import clustered, form
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import expected, rows
from meshtune.topology.why import explain
from meshtune.wire.payload_sizes import update_bytes
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


def plain_rate(s: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 19 of densities s (devices, cells), cells by their positions."""
    once = sum(s[j] * np.delete(1 - s, j, 0).prod(0) for j in range(len(s)))
    return float(np.average(1 - (1 - s).prod(0) - once, weights=weights))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("power", [1e-9, 1e-7])
def test_without_a_tie_break_the_lowest_rate_merges_first(seed: int, power: float) -> None:
    air = random_air(60, seed, power)
    densities = stream(seed, "densities").uniform(0, 0.2, (60, 5))
    exact = np.rint(densities * 65535) / 65535

    def key(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[float, int, int] | None:
        union = np.array(sorted(a + b))
        x, y = air.positions[union].T
        square = (x - x[:, None]) ** 2 + (y - y[:, None]) ** 2
        rate = plain_rate(exact[union], np.ones(5))
        if square.max() > 200**2 or (air.factor(len(union) - 1) * square.sum(1)).max() > power or rate > 0.05:
            return None
        return rate, min(a[0], b[0]), max(a[0], b[0])

    use = expected(densities, [7] * 5)
    found = form(air, use, 0.05, tie_break="none").clusters
    assert found == greedy(range(60), key)
    if power == 1e-7:
        assert found != form(air, use, 0.05).clusters


def test_of_nearly_equal_rates_energy_decides_or_the_rate_itself() -> None:
    """0 and 1 would collide at 0.0100, 0 and 2 at 0.0105, and 2 is nearer."""
    densities = ((0.1,), (0.1,), (0.105,))
    world = World((0, 1, 2), ((0, 0), (5, 0), (1, 0)), (1024,) * 3, densities, (8,), 1.0, 9, 2, 1)
    assert form(world.air, world.use, 1.0).clusters == ((0, 2), (1,))
    assert form(world.air, world.use, 1.0, tie_break="none").clusters == ((0, 1), (2,))


def test_the_lowest_rate_alone_forms_other_clusters_in_the_demo() -> None:
    """``demo_rows.npz`` has the row counts of the calibrated masks of the demo's ten devices (10, output rows)."""
    counts = np.load(Path(__file__).with_name("demo_rows.npz"))["counts"]
    config = demo_config()
    site = open_site(config)
    assert site is not None
    rank, weights = config.adapter.rank, np.ones(counts.shape[1])
    air = link_bounds(geometry_of(site), 8.0 * update_bytes(int(counts[0].sum()), config.exchange.values), None)

    def key(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[float, int, int] | None:
        union = np.array(sorted(a + b))
        watts = [air.scale.watts(ticks, len(union) - 1) for ticks in air.loads(union)]
        rate = plain_rate(counts[union] / rank, weights)
        if max(watts) > site.radio.p_max or rate > config.clusters.s_max:
            return None
        return rate, min(a[0], b[0]), max(a[0], b[0])

    alone = config.clusters.model_copy(update={"tie_break": "none"})
    plain = clustered(alone, air, rows(counts, rank)).clusters
    assert plain == greedy(range(10), key) == ((0, 6, 7, 9), (1, 4, 5, 8), (2, 3))
    assert clustered(config.clusters, air, rows(counts, rank)).clusters == ((0, 1, 5, 9), (2, 3), (4, 6, 7, 8))


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
