"""Places and what the air allows there: gains by hand, medians by brute force, and too many pairs in one sentence."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.config.config_file import validate
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.network import geometry
from meshtune.network.geometry import (
    Geometry,
    carrier,
    check_pairs,
    clustering,
    geometry_of,
    link_bounds,
    median_gain,
    median_gains,
)
from meshtune.network.site import open_site
from meshtune.topology.config import ClusterConfig

# Three devices near each other, one 400 m away. Squared distances 900, 1600, 2500.
SQUARE = ((0.0, 0.0), (30.0, 0.0), (0.0, 40.0), (400.0, 0.0))
BITS = 8e6


def ground(places: Any = SQUARE, **radio: Any) -> Geometry:
    tree = {"tasks": ["boolq"], "devices": {"count": len(places)}, "places": {"positions": places}, "radio": radio}
    site = open_site(validate(tree, "the test"))
    assert site is not None
    return geometry_of(site)


def test_without_a_range_everybody_is_in_range_of_everybody() -> None:
    where = ground()
    assert where.positions.tolist() == [list(place) for place in SQUARE]
    assert where.reach >= math.hypot(400, 40)
    assert len(link_bounds(where, BITS, None).pairs[0]) == 6
    assert ground(range=45).reach == 45
    assert len(link_bounds(ground(range=45), BITS, None).pairs[0]) == 2
    assert ground(((3.0, 4.0),)).reach == 1


def test_devices_that_move_are_where_they_are_then() -> None:
    tree = {
        "tasks": ["boolq"],
        "devices": {"count": 5},
        "places": {"radius": 100.0, "mobility": "waypoint"},
        "radio": {},
    }
    site = open_site(validate(tree, "the test"))
    assert site is not None
    start, later = geometry_of(site), geometry_of(site, 60.0)
    assert (start.positions == site.mobility.positions(0.0)).all()
    assert (later.positions == site.mobility.positions(60.0)).all()
    assert (start.positions != later.positions).any()


@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
def test_a_link_costs_lemma_1_on_its_mean_gain(cast: str) -> None:
    air = link_bounds(ground(cast=cast), BITS, 3)
    noise, band, gamma = 10 ** (-174 / 10) / 1000, 20e6, 0.5
    for u in (1, 2, 3):
        share = 1 if cast == "broadcast" else u
        least = noise * band / share * (2 ** (BITS * share / (band * gamma)) - 1)
        assert air.factor(u) == pytest.approx(least, rel=1e-9, abs=0)
    assert np.asarray(air.inverse_gain(np.array([0, 1]), np.array([2, 2]))).tolist() == pytest.approx([1600, 2500])
    assert (air.most, air.delay, air.ids.tolist()) == (3, 0.5, [0, 1, 2, 3])
    assert air.power.tolist() == pytest.approx([0.01] * 4)


def test_a_pair_that_does_not_hear_each_other_can_pay_no_link(tmp_path: Any) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("round,a,b,gain_db\n" + "".join(f"{at},0,1,-60\n" for at in range(1, 21)))
    where = ground(SQUARE[:3], channel="trace", trace=str(file))
    air = link_bounds(where, BITS, None)
    assert air.links.affordable.tolist() == [True, False, False]
    assert median_gain(where, air) == pytest.approx(1e-6)
    assert median_gains(where)[:2].tolist() == pytest.approx([1e-6, 1e-6])
    assert math.isnan(median_gains(where)[2])


def test_medians_are_each_devices_own_and_of_those_in_its_range() -> None:
    first, second, third, alone = median_gains(ground(range=100)).tolist()
    assert first == pytest.approx((1 / 900 + 1 / 1600) / 2)
    assert second == pytest.approx((1 / 900 + 1 / 2500) / 2)
    assert third == pytest.approx((1 / 1600 + 1 / 2500) / 2)
    assert math.isnan(alone)
    near = ground(range=100)
    assert median_gain(near, link_bounds(near, BITS, None)) == pytest.approx(1 / 1600)
    far = ground(range=10)
    assert median_gain(far, link_bounds(far, BITS, None)) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=2, max_size=9, unique=True), st.data())
def test_medians_of_any_places(places: list[tuple[int, int]], data: st.DataObject) -> None:
    reach = data.draw(st.integers(1, 80)) + 0.5
    where = ground([(float(x), float(y)) for x, y in places], range=reach)
    gains: dict[int, list[float]] = {device: [] for device in range(len(places))}
    for a, b in combinations(range(len(places)), 2):
        square = (places[a][0] - places[b][0]) ** 2 + (places[a][1] - places[b][1]) ** 2
        if square <= reach**2:
            gains[a].append(1 / square)
            gains[b].append(1 / square)
    wanted = [float(np.median(near)) if near else math.nan for near in gains.values()]
    assert median_gains(where).tolist() == pytest.approx(wanted, nan_ok=True)


def test_more_pairs_than_can_be_held_are_one_sentence_with_a_range_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.random.default_rng(1).uniform(0, 300, (60, 2))
    where = ground(places.tolist())
    monkeypatch.setattr(geometry, "MOST_PAIRS", 1770)
    check_pairs(where)
    monkeypatch.setattr(geometry, "MOST_PAIRS", 1769)
    with pytest.raises(UserError) as caught:
        check_pairs(where)
    said, _, rest = str(caught.value).partition("for example to ")
    assert said == "60 devices have 1,770 pairs in range, planned for at most 1,769: set radio.range, "
    metres, _, rest = rest.partition(" m, ")
    assert rest == "which leaves each about 10"
    near = ground(places.tolist(), range=float(metres))
    check_pairs(near)
    assert 6 <= 2 * len(link_bounds(near, BITS, None).pairs[0]) / 60 <= 12


def test_clusters_are_formed_for_the_first_sparse_method_that_sends() -> None:
    for names, chosen in (
        (("local", "lora", "bank"), "bank"),
        (("lora", "bank", "lori"), "bank"),
        (("local", "lora"), "lora"),
        (("local",), "local"),
    ):
        assert carrier([get_method(name) for name in names]).name == chosen


def test_devices_without_masks_are_kept_apart_by_no_collision() -> None:
    settings = ClusterConfig(s_max=0.2, most=5)
    assert clustering(settings, masked=True) == settings
    assert clustering(settings, masked=False) == ClusterConfig(s_max=1.0, most=5)
