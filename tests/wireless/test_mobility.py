"""Random waypoints stay in the disc, keep their speed, and are a function of seed and time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.wireless.config import PlaceConfig
from meshtune.wireless.mobility import Waypoint, mobility
from meshtune.wireless.places import place

WALK = PlaceConfig(radius=100, mobility="waypoint", speed=(1, 3))


def test_static_devices_stay() -> None:
    still = mobility(PlaceConfig(), 4, seed=1)
    there = still.positions(0)
    there += 1  # a caller's change changes nobody's place
    assert (still.positions(1e6) == place(PlaceConfig(), 4, seed=1)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 40), st.floats(0.1, 5), st.floats(1, 4), st.floats(0, 50), st.floats(0, 2000))
def test_nobody_leaves_the_disc_or_is_too_fast(seed: int, low: float, ratio: float, pause: float, at: float) -> None:
    config = PlaceConfig(radius=100, mobility="waypoint", speed=(low, low * ratio), pause=pause)
    walk = mobility(config, 5, seed)
    times = at + np.arange(0, 20, 0.5)
    path = np.array([walk.positions(float(time)) for time in times])
    assert np.hypot(path[..., 0], path[..., 1]).max() <= 100 * (1 + 1e-12)
    moved = np.hypot(*np.moveaxis(np.diff(path, axis=0), -1, 0))
    assert moved.max() <= low * ratio * 0.5 * (1 + 1e-9)


def test_positions_are_a_function_of_time_and_seed() -> None:
    forwards, backwards = mobility(WALK, 6, seed=3), mobility(WALK, 6, seed=3)
    times = [0.0, 10.0, 500.0, 500.5, 4000.0]
    seen = {time: forwards.positions(time) for time in times}
    for time in reversed(times):
        assert (backwards.positions(time) == seen[time]).all()
    assert (seen[0.0] == place(WALK, 6, seed=3)).all()
    assert (mobility(WALK, 9, seed=3).positions(500.0)[:6] == seen[500.0]).all()
    assert not (mobility(WALK, 6, seed=4).positions(500.0) == seen[500.0]).any()


def test_between_its_slowest_and_fastest() -> None:
    # On a leg the speed is constant; over half a second most devices stay on one leg.
    walk = mobility(WALK, 2000, seed=0)
    speed = np.hypot(*(walk.positions(300.5) - walk.positions(300.0)).T) / 0.5
    on_a_leg = speed[speed > 1]
    assert on_a_leg.size > 1900
    assert on_a_leg.max() <= 3 + 1e-9
    assert on_a_leg.std() > 0.3


def test_rests_at_each_point() -> None:
    # One device, one speed: at the end of its first leg it stands still for the pause.
    start = np.array([[50.0, 0.0]])
    walk = Waypoint(start, 100, (2.0, 2.0), pause=30.0, seed=5)
    far = Waypoint(start, 100, (2.0, 2.0), pause=1e9, seed=5).positions(1e6)
    arrival = float(np.hypot(*(far - start)[0]) / 2)
    assert walk.positions(arrival / 2) == pytest.approx((start + far) / 2)
    assert walk.positions(arrival + 15) == pytest.approx(far)
    assert not (walk.positions(arrival + 45) == far).any()


def test_a_device_outside_the_disc_cannot_walk_in_it() -> None:
    config = WALK.model_copy(update={"positions": ((0.0, 0.0), (0.0, 700.0))})
    with pytest.raises(UserError, match="device 1 stands 700 m from the origin, outside the disc of 100 m"):
        mobility(config, 2, seed=0)
