"""Links against all pairs, and bad input."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from meshtune.errors import UserError
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.power import FULL
from radio_worlds import factor, worlds


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
        ({"ids": [1, 2, 2]}, "device id 2 appears twice: device ids must be unique"),
        ({"ids": []}, "device ids are not a list of integers: give every device one"),
        ({"ids": [1.0, 2.0, 3.0]}, "device ids are not a list of integers: give every device one"),
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
        ({"most": 0}, "a maximum cluster size of 0 is impossible: give 1 or more, or no bound"),
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
            "3 links were requested and 1 inverse gains given: give one per link",
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
