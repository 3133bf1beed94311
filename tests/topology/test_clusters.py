"""Clusters against the plain O(K^3) greedy in exact arithmetic, and the sentences that explain them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greedy import greedy
from meshtune.errors import UserError
from meshtune.seeds import stream
from meshtune.topology.agnes import form
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import Clusters, single
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


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_no_cluster_breaks_a_bound_and_its_figures_are_right(world: World) -> None:
    found = form(world.air, world.use, world.s_max)
    assert sorted(device for cluster in found.clusters for device in cluster) == sorted(world.ids)
    for cluster, rate in zip(found.clusters, found.rates, strict=True):
        assert rate <= world.s_max
        assert rate == pytest.approx(float(world.rate(cluster)), abs=1e-7)
        assert world.most is None or len(cluster) <= world.most
        assert all(world.square(a, b) <= world.reach**2 for a, b in combinations(cluster, 2))
        for device, watts in world.power(cluster).items():
            assert found.power[device] == pytest.approx(watts, rel=1e-9)
            assert watts <= world.limits[world.ids.index(device)]
            assert found.energy[device] == pytest.approx(watts * 0.5, rel=1e-9)
    assert found.neighbours() == {
        a: tuple(b for b in c if b != a) for a, c in sorted((a, c) for c in found.clusters for a in c)
    }


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


def test_one_cluster_of_all_has_its_rate_and_its_power_whatever_they_are() -> None:
    world = World((3, 1, 2), ((0, 0), (30, 0), (0, 40)), (64,) * 3, ((1.0,),) * 3, (8,), 0.1, 5, None, 1)
    found = single(world.air, world.use)
    assert found.clusters == ((1, 2, 3),)
    assert found.rates == (1.0,)
    assert found.power == pytest.approx({1: 2 * (900 + 2500), 2: 2 * (1600 + 2500), 3: 2 * (900 + 1600)})


LINE = World((0, 1, 2, 3), ((0, 0), (3, 0), (6, 0), (100, 0)), (64,) * 4, ((0.1,),) * 4, (1000,), 0.5, 10, None, 1)


def told(found: Clusters, device: int) -> list[str]:
    return str(explain(found, device)).splitlines()


def test_why_power() -> None:
    found = form(LINE.air, LINE.use, 0.5)
    assert found.clusters == ((0, 1), (2,), (3,))
    assert told(found, 0) == [
        "device 0 is with 1: their collision rate is 0.01 of at most 0.5, "
        "and it reaches it within 0.5 s at 9 W of 64 W",
        "2 was refused: device 0 would need 90 W to send to 2 within 0.5 s, its limit is 64 W",
        "3 was refused: it is 100 m away, range is 10 m",
    ]
    assert told(found, 2) == [
        "device 2 is alone: its 2 nearest in range were refused (2 for power)",
        "1 (with 0) was refused: device 2 would need 90 W to send to 2 within 0.5 s, its limit is 64 W",
        "0 (with 1) was refused: device 2 would need 90 W to send to 2 within 0.5 s, its limit is 64 W",
        "3 was refused: it is 94 m away, range is 10 m",
    ]
    assert told(found, 3)[0] == "device 3 is alone: no other device is within 10 m, the nearest, 2, is 94 m away"
    assert [refusal.kind for refusal in explain(found, 3).refused] == ["range"] * 3
    assert len(explain(found, 3, 1).refused) == 1


def test_why_collision() -> None:
    found = form(LINE.air, LINE.use, 0.001)
    assert told(found, 0)[0] == "device 0 is alone: its 2 nearest in range were refused (2 for collision)"
    assert told(found, 0)[1] == "1 was refused: together their collision rate would be 0.01, at most 0.001 is allowed"


def test_why_size_and_range_of_another_member() -> None:
    rich = replace(LINE, limits=(1024,) * 4, most=2)
    assert told(form(rich.air, rich.use, 0.5), 0)[1] == (
        "2 was refused: together they would be 3 devices, at most 2 are allowed"
    )
    short = replace(rich, most=None, reach=5)
    assert told(form(short.air, short.use, 0.5), 1)[1] == "2 was refused: 0 and 2 would be 6 m apart, range is 5 m"


def test_why_alone_for_power_and_alone_in_the_world() -> None:
    poor = replace(LINE, limits=(8, 64, 4, 64))
    found = form(poor.air, poor.use, 0.5)
    assert found.clusters == ((0,), (1,), (2,), (3,))
    assert told(found, 0)[0] == (
        "device 0 is alone: the cheapest link of 2 in range, to 1, needs 9 W to meet 0.5 s, the limit is 8 W"
    )
    one = World((5,), ((0, 0),), (64,), ((0.1,),), (8,), 0.5, 10, None, 1)
    assert told(form(one.air, one.use), 5) == ["device 5 is alone: there is no other device"]


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_every_refusal_has_a_reason_and_one_sentence(world: World) -> None:
    found = form(world.air, world.use, world.s_max)
    for device in world.ids:
        why = explain(found, device, 9)
        ours = found.clusters[found.index[device]]
        assert {refusal.device for refusal in why.refused} == set(world.ids) - set(ours)
        for refusal in why.refused:
            assert refusal.kind != "given"
            assert refusal.sentence.startswith(str(refusal.device))
            assert "\n" not in refusal.sentence
            union = tuple(sorted(ours + found.clusters[found.index[refusal.device]]))
            if refusal.kind == "collision":
                assert world.rate(union) > world.s_max
            elif refusal.kind == "power":
                assert any(watts > world.limits[world.ids.index(i)] for i, watts in world.power(union).items())
            elif refusal.kind == "size":
                assert world.most is not None
                assert len(union) > world.most
            else:
                assert any(world.square(i, j) > world.reach**2 for i, j in combinations(union, 2))


def test_an_unknown_device_is_one_sentence() -> None:
    with pytest.raises(UserError, match="there is no device 9: choose from 0, 1, 2 and 3"):
        explain(form(LINE.air, LINE.use), 9)


@pytest.mark.parametrize("s_max", [0.0, -0.1, 1.01, float("nan")])
def test_s_max_outside_0_to_1_is_one_sentence(s_max: float) -> None:
    with pytest.raises(UserError) as caught:
        form(LINE.air, LINE.use, s_max)
    assert str(caught.value) == (
        f"a highest collision rate of {s_max:g} is outside (0, 1]: give a share of positions, like 0.1"
    )


def test_densities_of_other_devices_are_one_sentence() -> None:
    with pytest.raises(UserError, match="2 devices announced densities, 4 have positions: give both for all"):
        form(LINE.air, expected([[0.1]] * 2, [8]))
