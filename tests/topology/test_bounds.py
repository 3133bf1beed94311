"""Power in ticks against its formula in floats, links against all pairs, and bad input."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.power import FULL, NEVER, Scale
from radio_worlds import factor, worlds


def papers(u: int) -> float:
    """The paper's radio: 20 MHz, -174 dBm/Hz, 0.5 s, ten million bits."""
    return 10**-20.4 * 2e7 / u * (2 ** (1e7 * u / 2e7 / 0.5) - 1)


@settings(deadline=None)
@given(st.floats(1e-9, 10), st.lists(st.floats(1, 1e12), min_size=1, max_size=8), st.integers(1, 12))
def test_ticks_stand_for_watts(strongest: float, losses: list[float], u: int) -> None:
    scale = Scale(strongest, papers)
    ticks = scale.ticks(losses)
    for cost, loss in zip(ticks.tolist(), losses, strict=True):
        need = papers(u) * loss
        if cost < NEVER:
            unit = scale.watts(1, u)
            assert need * (1 - 1e-12) <= scale.watts(cost, u) <= need * (1 + 1e-12) + unit
            if cost <= scale.cap(strongest, u):
                assert need <= strongest * (1 + 1e-12)
            elif need < strongest * (1 - 1e-9):
                assert need + unit >= strongest * (1 - 1e-9)
        else:
            assert papers(1) * loss >= strongest


def test_caps_fall_with_neighbours_and_end_at_nothing() -> None:
    scale = Scale(0.01, papers)
    caps = [scale.cap(0.01, u) for u in range(1, 2000)]
    assert caps[0] == FULL
    assert caps == sorted(caps, reverse=True)
    assert caps[-1] == 0
    assert scale.watts(1, 1999) == float("inf")
    assert scale.watts(5, 0) == 0


def test_a_payload_too_large_for_any_power() -> None:
    scale = Scale(0.01, lambda u: 2.0 ** (5000 * u))
    assert scale.ticks([1.0]).tolist() == [NEVER]
    assert scale.cap(0.01, 1) == 0


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_links_are_the_pairs_in_range(world: Any) -> None:
    air = world.air
    ids = air.ids.tolist()
    assert ids == sorted(world.ids)
    found = {(ids[a], ids[b]) for a, b in zip(air.links.low, air.links.high, strict=True)}
    assert found == {(a, b) for a, b in combinations(ids, 2) if world.square(a, b) <= world.reach**2}
    strongest = max(world.limits)
    for a, b, ticks, affordable in zip(
        air.links.low, air.links.high, air.links.ticks, air.links.affordable, strict=True
    ):
        watts = world.loss(ids[a], ids[b])
        assert ticks == watts * FULL // strongest
        assert affordable == (watts <= min(world.limits[world.ids.index(ids[end])] for end in (a, b)))


def air(**changes: Any) -> LinkBounds:
    where = np.asarray(changes.get("positions", [[0, 0], [3, 4], [6, 8]]), dtype=float)
    settings = {
        "ids": [1, 2, 3],
        "positions": where,
        "reach": 20.0,
        "inverse_gain": lambda a, b: ((where[a] - where[b]) ** 2).sum(1),
        "power": 64.0,
        "factor": factor,
    }
    return LinkBounds(**{**settings, **changes})


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"ids": [1, 2, 2]}, "device id 2 is given twice: number devices apart"),
        ({"ids": []}, "device ids are no list of integers: give every device one"),
        ({"ids": [1.0, 2.0, 3.0]}, "device ids are no list of integers: give every device one"),
        (
            {"positions": [[0, 0], [1, 1]]},
            "positions have the shape (2, 2), there are 3 devices: give each a row x, y in metres, all finite",
        ),
        (
            {"positions": [[0, 0], [1, 1], [2, float("nan")]]},
            "positions have the shape (3, 2), there are 3 devices: give each a row x, y in metres, all finite",
        ),
        ({"power": [1.0, 0.0, 1.0]}, "the power limit of device 2 is 0 W: give a finite one above 0"),
        ({"power": float("inf")}, "the power limit of device 1 is inf W: give a finite one above 0"),
        ({"power": [1.0, 1.0]}, "2 power limits are given for 3 devices: give one for all or one for each"),
        ({"reach": 0.0}, "a range of 0 is not positive and finite: give one that is"),
        ({"delay": -1.0}, "a delay bound of -1 is not positive and finite: give one that is"),
        ({"most": 0}, "clusters of at most 0 devices cannot be: give 1 or more, or no bound"),
    ],
)
def test_bad_input_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        air(**changes)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"positions": [[0, 0], [6, 8], [6, 8]]}, "devices 2 and 3 are both at (6, 8): move one"),
        (
            {"inverse_gain": lambda a, b: a - 1.0},
            "the inverse gain from device 1 to 2 is -1: give more than 0",
        ),
        (
            {"inverse_gain": lambda a, b: np.ones(1)},
            "3 links were asked for and 1 inverse gains given: give one a link",
        ),
        (
            {"factor": lambda u: 0.0},
            "a device with 1 neighbours needs 0 W per unit of loss, with one 0: give a payload, a bandwidth and a "
            "delay bound above 0",
        ),
    ],
)
def test_bad_links_are_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        _ = air(**changes).links
    assert str(caught.value) == sentence


def test_power_that_falls_with_neighbours_is_an_error() -> None:
    with pytest.raises(UserError, match=r"a device with 2 neighbours needs 0\.5 W per unit of loss, with one 1"):
        air(factor=lambda u: 1 / u).caps(2)
