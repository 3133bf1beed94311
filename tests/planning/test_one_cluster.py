"""An exchange within one cluster: what plans reckon against rounds that are flown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from flying import Counted, World, world
from meshtune.network.geometry import geometry_of
from meshtune.network.mean_links import flow
from meshtune.planning.one_cluster import ClusterExchange, exchange_by_hops


@dataclass
class Flown:
    """A round that was flown and what a plan makes of it: copies by device, own and of others."""

    world: World
    plan: ClusterExchange
    own: list[int]
    passed: list[int]


def both(count: int, graph: dict[str, Any], name: str = "bank", **radio: Any) -> Flown:
    """Devices of one group at drawn places, one round that ends in an exchange."""
    where = [(x, y) for x, y in np.random.default_rng(count).uniform(0, 100, (count, 2)).tolist()]
    w = world(
        name,
        where,
        "a" * count,
        radio={"fading": "none", **radio},
        clusters={"kind": "single", "inner_rounds": 1},
        graph=graph,
    )
    ledger = w.state.ledger = Counted()
    w.play()
    ground = geometry_of(w.network.site)
    found = flow(ground, w.network.formed.linked.asked, w.network.formed.bits)
    relay = w.method.sharing.relays and w.config.graph.relay
    plan = exchange_by_hops(ground, w.network.formed.inner, found.pairs(), w.network.formed.bits, relay)
    devices = range(count)
    return Flown(w, plan, [ledger.own[d] for d in devices], [ledger.passed[d] for d in devices])


@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
@pytest.mark.parametrize(
    ("count", "graph", "radio"),
    [
        (7, {"kind": "ring"}, {}),
        (8, {"kind": "ring"}, {}),
        (11, {"kind": "exponential"}, {}),
        (10, {"kind": "random", "neighbours": 1}, {}),
        (10, {"kind": "geometric", "radius": 45.0}, {}),
        (9, {"kind": "full"}, {"range": 60.0}),
        (9, {"kind": "ring"}, {"range": 60.0}),
    ],
    ids=str,
)
def test_a_plan_counts_the_copies_that_a_round_sends(
    count: int, graph: dict[str, Any], radio: dict[str, Any], cast: str
) -> None:
    flown = both(count, graph, cast=cast, **radio)
    plan, tick = flown.plan, flown.world.state.clocks["bank"][-1]
    assert (plan.load.own + plan.load.out).tolist() == flown.own
    assert plan.load.passed.tolist() == flown.passed
    assert tick.seconds == pytest.approx(2 + 0.75 + plan.seconds)
    assert plan.seconds == pytest.approx(0.75 * plan.windows)
    assert tick.outages == 0
    near = flown.world.network.formed.inner
    reached = [len(flown.world.versions(device)) for device in range(count)]
    if cast == "unicast":  # each copy brings one device one update
        assert sum(flown.own) == sum(map(len, near.values()))
        assert sum(flown.own) + sum(flown.passed) == sum(reached) - count
    assert plan.links <= {(a, b) for a in near for b in near[a]}


def test_a_ring_brings_everybody_the_newest_of_all() -> None:
    flown = both(8, {"kind": "ring"})
    assert [flown.world.versions(device) for device in range(8)] == [dict.fromkeys(range(8), 1)] * 8
    assert flown.own == [2] * 8
    assert sum(flown.passed) == 8 * (8 - 1 - 2)
    assert flown.plan.windows == 8 // 2 - 1  # the window of the round is the first hop
    flown.world.play()
    assert flown.world.versions(3) == dict.fromkeys(range(8), 2)


def test_energy_is_that_of_the_windows_up_to_headers() -> None:
    flown = both(8, {"kind": "ring"})
    network = flown.world.network
    first = flow(geometry_of(network.site), network.formed.inner, network.formed.bits).budget.sender_energy.sum()
    spent = flown.world.state.clocks["bank"][-1].sending
    assert first + flown.plan.energy.sum() == pytest.approx(spent, rel=0.05, abs=0)


@pytest.mark.parametrize(("name", "relay"), [("lora", True), ("bank", False)])
def test_what_is_not_passed_on_stays_with_neighbours(name: str, relay: bool) -> None:
    flown = both(7, {"kind": "ring", "relay": relay}, name)
    assert (flown.plan.windows, sum(flown.passed)) == (0, 0)
    assert flown.world.versions(3) == {2: 1, 3: 1, 4: 1}
    assert set(flown.world.state.members[name][3].known) == set(range(7))  # announcements always are


def test_devices_that_one_can_pay_for_one_at_a_time_are_reckoned_with() -> None:
    """Power for about half of a full graph's links at once: some go in later windows, by themselves or by others."""
    flown = both(9, {"kind": "full"}, power_dbm=-103.0)
    assert flown.world.state.clocks["bank"][-1].outages > 0
    assert (flown.plan.load.own + flown.plan.load.out).tolist() == flown.own
    assert flown.plan.load.passed.tolist() == flown.passed
    assert sum(flown.passed) > 0
