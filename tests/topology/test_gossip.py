"""Decentralised clustering ends in the global clusters, whenever its messages arrive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.seeds import stream
from meshtune.topology.agnes import form
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.clusters import assemble
from meshtune.topology.collision import expected, rows
from meshtune.topology.gossip import gossip, peers, settle
from radio_worlds import World, worlds


def orders(seed: int) -> dict[str, Callable[[int], int]]:
    """Who arrives next: at random, the newest first, the oldest first, or stragglers held back for long."""
    draw = stream(seed, "air")
    return {
        "random": lambda n: int(draw.integers(n)),
        "newest": lambda n: n - 1,
        "first": lambda n: 0,
        "stragglers": lambda n: n - 1 - int(n * draw.uniform() ** 6),
    }


@settings(max_examples=300, deadline=None)
@given(worlds(), st.sampled_from(list(orders(0))), st.integers(0, 1 << 30))
def test_gossip_ends_in_the_global_clusters_whatever_the_delays(world: World, order: str, seed: int) -> None:
    wanted = form(world.air, world.use, world.s_max)
    devices = peers(world.air, world.use, world.s_max)
    settle(devices, orders(seed)[order])
    found = assemble(
        world.air, world.use, world.s_max, [pair for peer in devices if peer.leads for pair in peer.merges]
    )
    assert found.clusters == wanted.clusters
    assert found.rates == wanted.rates
    assert found.power == wanted.power
    for peer in devices:  # those who follow know it too
        assert peer.members == wanted.clusters[wanted.index[peer.device]]


@settings(max_examples=100, deadline=None)
@given(worlds(), st.sampled_from(list(orders(0))), st.integers(0, 1 << 30))
def test_gossip_without_a_tie_break_ends_in_the_global_clusters_too(world: World, order: str, seed: int) -> None:
    wanted = form(world.air, world.use, world.s_max, tie_break="none")
    devices = peers(world.air, world.use, world.s_max, tie_break="none")
    settle(devices, orders(seed)[order])
    for peer in devices:
        assert peer.members == wanted.clusters[wanted.index[peer.device]]


def crowd(devices: int, seed: int, power: float) -> LinkBounds:
    where = stream(seed, "where").uniform(0, 500, (devices, 2))
    return LinkBounds(
        np.arange(devices) * 3,
        where,
        180.0,
        lambda a, b: ((where[a] - where[b]) ** 2).sum(1),
        power,
        lambda u: 10**-20.4 * 2e7 / u * (2 ** (u * 1.0) - 1),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("s_max", "power"), [(0.1, 1e-2), (1.0, 3e-8), (0.05, 1e-8)])
def test_gossip_in_a_crowd(seed: int, s_max: float, power: float) -> None:
    air = crowd(50, seed, power)
    use = expected(stream(seed, "densities").uniform(0, 0.2, (50, 6)), [64] * 6)
    wanted = form(air, use, s_max)
    assert max(map(len, wanted.clusters)) > 2
    for at in range(2):
        found, traffic = gossip(air, use, s_max, seed=at)
        assert found.clusters == wanted.clusters
        assert found.power == wanted.power
        assert traffic.messages <= traffic.copies


def test_gossip_by_rows() -> None:
    air = crowd(20, 1, 1e-2)
    use = rows(stream(1, "counts").integers(0, 5, (20, 30)), 16)
    assert gossip(air, use)[0].clusters == form(air, use).clusters


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_nobody_hears_from_out_of_range(world: World) -> None:
    devices = peers(world.air, world.use, world.s_max)
    by_id = {peer.device: peer for peer in devices}
    under_way = [message for peer in devices for message in peer.start()]
    for message in under_way:
        for device in message.to:
            assert world.square(message.sender, device) <= world.reach**2
            under_way += by_id[device].receive(message)
    for peer in devices:
        assert all(world.square(peer.device, other) <= world.reach**2 for other in peer.hellos)


PAIR = World((1, 2), ((0, 0), (3, 0)), (64, 64), ((0.1,), (0.1,)), (1000,), 0.5, 10, None, 1)


def test_a_device_without_neighbours_says_nothing() -> None:
    far = World((1, 2), ((0, 0), (30, 0)), (64, 64), ((0.1,), (0.1,)), (1000,), 0.5, 10, None, 1)
    devices = peers(far.air, far.use, 0.5)
    assert settle(devices, lambda n: 0).messages == 0
    assert [peer.members for peer in devices] == [(1,), (2,)]


def test_bad_input_is_the_same_sentence() -> None:
    with pytest.raises(UserError, match=r"a highest collision rate of 2 is outside \(0, 1\]"):
        gossip(PAIR.air, PAIR.use, 2.0)
