"""Devices that the air leaves alone, and why."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from meshtune.topology.agnes import form
from meshtune.topology.alone import alone
from meshtune.topology.why import explain
from radio_worlds import World, worlds

CHAIN = World((0, 1, 2, 3), ((0, 0), (1, 0), (4, 0), (40, 0)), (64, 64, 64, 64), ((1.0,),) * 4, (8,), 0.5, 5, None, 1)


def test_devices_alone_are_told_why() -> None:
    assert alone(CHAIN.air) == {3: "device 3 is alone: no other device is within 5 m, the nearest, 2, is 36 m away"}
    poor = replace(CHAIN, limits=(64, 64, 8, 64))
    assert alone(poor.air)[2] == (
        "device 2 is alone: the cheapest link of 2 in range, to 1, needs 9 W to meet 0.5 s, the limit is 8 W"
    )
    assert alone(replace(CHAIN, reach=50, limits=(4096,) * 4).air) == {}


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_who_is_alone_has_no_link_that_both_ends_can_pay(world: World) -> None:
    lonely = {
        a
        for a in world.ids
        if not any(
            world.square(a, b) <= world.reach**2
            and world.loss(a, b) <= min(world.limits[world.ids.index(end)] for end in (a, b))
            for b in world.ids
            if b != a
        )
    }
    found = alone(world.air)
    assert set(found) == lonely
    clusters = form(world.air, world.use, world.s_max)
    for device, sentence in found.items():
        assert clusters.clusters[clusters.index[device]] == (device,)
        assert explain(clusters, device).reason == sentence
