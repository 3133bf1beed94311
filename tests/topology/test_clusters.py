"""What clustering ends in: bounds and figures in exact arithmetic, one cluster of all, and what is no input."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings

from meshtune.errors import UserError
from meshtune.topology.agnes import form
from meshtune.topology.clusters import assemble, single
from meshtune.topology.collision import expected
from radio_worlds import World, worlds


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


def test_one_cluster_of_all_has_its_rate_and_its_power_whatever_they_are() -> None:
    world = World((3, 1, 2), ((0, 0), (30, 0), (0, 40)), (64,) * 3, ((1.0,),) * 3, (8,), 0.1, 5, None, 1)
    found = single(world.air, world.use)
    assert found.clusters == ((1, 2, 3),)
    assert found.rates == (1.0,)
    assert found.power == pytest.approx({1: 2 * (900 + 2500), 2: 2 * (1600 + 2500), 3: 2 * (900 + 1600)})


LINE = World((0, 1, 2, 3), ((0, 0), (3, 0), (6, 0), (100, 0)), (64,) * 4, ((0.1,),) * 4, (1000,), 0.5, 10, None, 1)


def test_merges_are_told_apart_by_cluster_and_give_their_rate_in_any_order() -> None:
    found = assemble(LINE.air, LINE.use, 1.0, [(2, 3), (0, 1), (0, 2)])
    other = assemble(LINE.air, LINE.use, 1.0, [(0, 1), (2, 3)])
    assert found.clusters == ((0, 1, 2, 3),)
    assert found.merges == (((0, 1), (2, 3), (0, 2)),)
    assert other.clusters == ((0, 1), (2, 3))
    assert other.merges == (((0, 1),), ((2, 3),))
    assert other.index == {0: 0, 1: 0, 2: 1, 3: 1}
    assert other.neighbours() == {0: (1,), 1: (0,), 2: (3,), 3: (2,)}
    assert found.rates == pytest.approx([1 - 0.9**4 - 4 * 0.1 * 0.9**3], abs=1e-5)
    assert other.power == pytest.approx({0: 9, 1: 9, 2: 94**2, 3: 94**2})
    assert other.energy == pytest.approx({0: 4.5, 1: 4.5, 2: 94**2 / 2, 3: 94**2 / 2})


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
