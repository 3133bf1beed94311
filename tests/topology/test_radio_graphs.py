"""Random graphs over the air keep range and power, and use what there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.topology.radio_graphs import random_within
from radio_worlds import FACTORS, World, worlds


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(1, 4), st.integers(0, 1 << 30), st.randoms())
def test_links_are_in_range_and_within_power(world: World, degree: int, seed: int, random: object) -> None:
    found = random_within(world.air, degree, seed)
    assert sorted(found) == sorted(world.ids)
    for device, others in found.items():
        assert list(others) == sorted(set(others) - {device})
        assert all(device in found[other] for other in others)
        assert all(world.square(device, other) <= world.reach**2 for other in others)
        need = FACTORS[len(others)] * sum(world.loss(device, o) for o in others) if others else 0
        assert need <= world.limits[world.ids.index(device)]
    order = list(range(len(world.ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert random_within(world.shuffled(order).air, degree, seed) == found


def test_with_power_to_spare_each_draws_its_links() -> None:
    world = World(
        tuple(range(9)), tuple((i, 0) for i in range(9)), (1 << 30,) * 9, ((0.1,),) * 9, (8,), 0.5, 20, None, 1
    )
    found = random_within(world.air, 2, 5)
    assert all(len(others) >= 2 for others in found.values())
    assert sum(map(len, found.values())) <= 2 * 9 * 2
    assert found != random_within(world.air, 2, 6)
    assert random_within(world.air, 8, 5) == {i: tuple(j for j in range(9) if j != i) for i in range(9)}


def test_no_links_is_an_error() -> None:
    world = World((0,), ((0, 0),), (64,), ((0.1,),), (8,), 0.5, 20, None, 1)
    with pytest.raises(UserError, match="a random graph of 0 links a device has none: give 1 or more"):
        random_within(world.air, 0)
