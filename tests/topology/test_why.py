"""Sentences that explain clusters: word by word, and the bound that decided in exact arithmetic."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings

from meshtune.errors import UserError
from meshtune.topology.agnes import form
from meshtune.topology.clusters import Clusters
from meshtune.topology.why import explain
from radio_worlds import World, worlds

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
