"""Rounds over the air, against links worked out by hand: what arrives when, what is mixed, and what it costs."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from airtime import least_power, update_bits
from flying import LAYERS, RANK, world
from meshtune.adapter.shared import aggregate
from meshtune.adapter.sites import sizes
from meshtune.config.federation_config import FaultsConfig
from meshtune.methods.aggregating import AggregatingMethod
from meshtune.methods.base import Prompts
from meshtune.network.virtual_clock import summary
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader
from meshtune.simulator.faults import away, slowness

PAIR = [(0.0, 0.0), (100.0, 0.0)]
# Two pairs, 10 m apart within and 200 m between: with a bound of two devices they are the clusters.
PAIRS = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]
TWO = {"clusters": {"s_max": 1.0, "most": 2, "inner_rounds": 2}}


def test_two_devices_take_the_time_and_energy_of_the_link_between_them() -> None:
    w = world("bank", PAIR)
    w.play()
    tick = w.state.clocks["bank"][1]
    bits = update_bits(32)
    assert tick.sending == pytest.approx(2 * least_power(bits, 100.0) * 0.5, rel=1e-9, abs=0)
    assert tick.airtime == pytest.approx(2 * 0.5)
    assert tick.computing == 4.0
    assert tick.seconds == 2.0 + 1.5 * 0.5
    assert (tick.outages, tick.lost, tick.late, tick.away) == (0, 0, 0, 0)
    counted = w.state.ledger.per_round("bank")[1]
    assert 8 * (counted["values"] + counted["control"]) == 2 * bits
    assert w.versions(0) == w.versions(1) == {0: 1, 1: 1}


def test_an_announcement_takes_as_many_windows_as_power_asks_for() -> None:
    """Power for an update over 100 m, and not for an announcement at once."""
    w = world("bank", PAIR, radio={"fading": "none", "power_dbm": -100.0})
    counted = w.state.ledger.per_round("bank")[0]
    bits = 8.0 * (sum(counted.values()) - counted["inventory"]) / 2
    p_max = 10 ** (-100.0 / 10) / 1000
    most = 20e6 * 0.5 * math.log2(1 + p_max * 1e-4 / (10 ** (-17.4) / 1000 * 20e6))
    count = math.ceil(bits / most)
    assert count > 1
    tick = w.state.clocks["bank"][0]
    assert tick.seconds == pytest.approx(0.5 * count)
    assert tick.sending == pytest.approx(2 * count * 0.5 * least_power(bits / count, 100.0), rel=1e-9, abs=0)


def test_foreign_updates_arrive_only_in_rounds_between_clusters() -> None:
    w = world("bank", PAIRS, **TWO)
    assert w.network.formed.clusters.clusters == ((0, 1), (2, 3))
    assert [(link.low, link.high) for link in w.network.formed.backbone.links] == [(1, 2)]
    seen = []
    for _ in range(4):
        w.play()
        seen.append([w.versions(device) for device in range(4)])
    near = {0: {0: 1, 1: 1}, 1: {0: 1, 1: 1}, 2: {2: 1, 3: 1}, 3: {2: 1, 3: 1}}
    assert seen[0] == [near[d] for d in range(4)]
    assert seen[1] == [dict.fromkeys(range(4), 2)] * 4
    assert seen[2][0] == {0: 3, 1: 3, 2: 2, 3: 2}
    assert seen[3] == [dict.fromkeys(range(4), 4)] * 4


def test_no_link_carries_a_version_twice_and_every_hop_is_a_window() -> None:
    """Between the pairs: 1 and 2 send what they hold, two updates each; then 2 and 1 pass two on to their mates."""
    w = world("bank", PAIRS, **TWO)
    w.play()
    first = w.state.clocks["bank"][-1]
    w.play()
    second = w.state.clocks["bank"][-1]
    # 1 -> 2 has updates 0, then 1, and 2 -> 1 has 2, then 3; a window later each is passed on to the mate.
    assert second.seconds == pytest.approx(first.seconds + 3 * 1.5 * 0.5)
    counted = w.state.ledger.per_round("bank")[2]
    own, passed = update_bits(32, 2) / 8, counted["relayed"]
    assert counted["values"] + counted["control"] == (4 + 2) * own  # within pairs, and 1 and 2 across
    assert 6 * own < passed < 6 * own + 6 * 64  # 0 and 3 across, two each on to the mates
    w.play()
    w.play()
    later = w.state.ledger.per_round("bank")
    assert later[3]["relayed"] == 0
    assert later[4]["relayed"] == passed


def test_lora_crosses_between_clusters_directly_and_is_not_relayed() -> None:
    w = world("lora", PAIRS, **TWO)
    w.play()
    w.play()
    assert w.versions(1) == {0: 2, 1: 2, 2: 2}
    assert w.versions(0) == {0: 2, 1: 2}
    assert w.state.ledger.per_round("lora")[2]["relayed"] == 0


def test_another_link_stands_in_for_a_device_that_is_away() -> None:
    """1 and 2 carry the exchange between the pairs; with 1 away, 0 does, and 1 hears nothing."""
    seed = next(
        s for s in range(99) if away(FaultsConfig(dropout=0.3), s, 4, 2).tolist() == [False, True, False, False]
    )
    w = world("bank", PAIRS, faults={"dropout": 0.3}, seed=seed, **TWO)
    assert w.network.formed.without({1}) == {0: (2,), 2: (0, 3), 3: (2,)}
    assert w.network.formed.without(()) == w.network.formed.graph
    w.play()
    before = w.versions(1)
    w.play()
    assert [w.versions(d)[d] for d in range(4)] == [2, 2, 2, 2]
    assert w.versions(0).items() >= {2: 2, 3: 2}.items()
    assert {s: v for s, v in w.versions(1).items() if s != 1} == {s: v for s, v in before.items() if s != 1}
    assert w.versions(3)[0] == 2


def test_who_is_away_is_left_out_of_the_mean_and_rejoins() -> None:
    w = world("lora", [(0.0, 0.0), (30.0, 0.0), (0.0, 30.0)], "aaa", faults={"dropout": 0.4}, seed=4)
    for number in range(1, 5):
        gone = away(w.config.faults, 4, 3, number)
        w.play()
        here = [d for d in range(3) if not gone[d]]
        members = w.state.members["lora"]
        for member in members:
            counted = [member.device] if gone[member.device] else here
            weights = np.array([10.0 * (d + 1) for d in counted])
            expected = sum(
                (w_ / weights.sum()) * members[d].held[d].values.double()
                for w_, d in zip(weights, counted, strict=True)
            )
            torch.testing.assert_close(member.expert.values.double(), expected, rtol=0, atol=1e-6)
        assert w.state.clocks["lora"][-1].away == gone.sum()
    drawn = [away(w.config.faults, 4, 3, number).sum() for number in range(1, 5)]
    assert 0 in drawn or len(set(drawn)) > 1


def test_a_group_goes_on_without_a_mate_that_is_away() -> None:
    """Devices 0 and 2 are of one group: while 2 is away, 0 keeps its own values to the last bit."""
    w = world("bank", [(0.0, 0.0), (30.0, 0.0), (0.0, 30.0)], "aba", faults={"dropout": 0.4}, seed=4)
    lone = together = 0
    for number in range(1, 8):
        gone = away(w.config.faults, 4, 3, number)
        w.play()
        first, _, third = w.state.members["bank"]
        if gone[0] or gone[2]:
            lone += 1
            assert not torch.equal(first.expert.values, third.expert.values)
            assert torch.equal(first.expert.values.bfloat16(), first.held[0].values)
        else:
            together += 1
            mean = (10 * first.held[0].values.float() + 30 * first.held[2].values.float()) / 40
            torch.testing.assert_close(first.expert.values, mean, rtol=0, atol=1e-7)
    assert lone
    assert together


def test_what_does_not_fit_is_left_out_and_the_rest_weighs_more() -> None:
    """Power for the near neighbour only: the far one is in outage, and the mean is over two."""
    w = world("lora", [(0.0, 0.0), (10.0, 0.0), (0.0, 2000.0)], "aaa", radio={"fading": "none", "power_dbm": -93.0})
    bits = update_bits(w.state.members["lora"][0].expert.count)
    assert least_power(bits, 10.0) < 10 ** (-9.3) / 1000 < least_power(bits, 2000.0)
    w.play()
    assert w.versions(0) == {0: 1, 1: 1}
    members = w.state.members["lora"]
    values = [members[d].held[d].values.float() for d in range(2)]
    torch.testing.assert_close(members[0].expert.values, (10 * values[0] + 20 * values[1]) / 30, rtol=0, atol=1e-6)


def test_fading_puts_links_in_outage_as_often_as_rayleigh_has_it() -> None:
    """One neighbour, p_max equal to the power on mean gain: a link is down with probability 1 - 1/e."""
    bits = update_bits(32)
    dbm = 10 * math.log10(least_power(bits, 100.0) * 1000) + 1e-6
    w = world("bank", PAIR, radio={"power_dbm": dbm}, clusters={"inner_rounds": 1000}, train={"rounds": 400})
    for _ in range(400):
        w.play()
    down = summary(w.state.clocks["bank"])["outages"] / 2  # both directions fade alike
    assert down == pytest.approx(400 * (1 - math.exp(-1)), abs=4 * math.sqrt(400 * 0.23))


def test_who_computes_too_long_sends_nothing_and_hears_all() -> None:
    faults = {"late": 0.4, "slowdown": 5.0}
    w = world("lora", [(0.0, 0.0), (30.0, 0.0), (0.0, 30.0)], "aaa", faults=faults, seed=1)
    some = 0
    for number in range(1, 5):
        slow = slowness(w.config.faults, 1, 3, number) > 1
        w.play()
        assert w.state.clocks["lora"][-1].late == slow.sum()
        some += int(slow.any() and not slow.all())
        for device in range(3):
            newest = {source for source, version in w.versions(device).items() if version == number}
            assert newest == {device, *(d for d in range(3) if not slow[d])}
    assert some


def test_a_part_that_is_cut_off_goes_on_by_itself() -> None:
    far = [(0.0, 0.0), (10.0, 0.0), (5000.0, 0.0), (5010.0, 0.0), (9000.0, 0.0)]
    w = world("bank", far, radio={"fading": "none", "range": 100.0}, clusters={"s_max": 1.0, "inner_rounds": 1})
    w.play()
    assert [set(w.versions(d)) for d in range(5)] == [{0, 1}, {0, 1}, {2, 3}, {2, 3}, {4}]
    assert set(w.state.members["bank"][0].known) == {0, 1}


def test_every_cluster_has_its_own_aggregate_behind_its_own_projections() -> None:
    """eq. 24 with two clusters: y = (alpha/r) sum_c Bbar_c sum_{j in c} A_j x, by hand from what device 0 holds."""
    w = world("paper", PAIRS, **TWO)
    for _ in range(3):
        w.play()
    member, factory = w.state.members["paper"][0], w.factory
    size = sum(sizes(LAYERS, RANK))

    def bar(devices: tuple[int, ...]) -> torch.Tensor:
        return aggregate(
            [member.held[d].values for d in devices],
            [factory.positions(member.known[d]) for d in devices],
            [float(member.known[d].samples) for d in devices],
            size,
            masked=False,
        )

    answer = w.method.answer(member, Prompts(["a"], Reader("unrouted"), Features(np.zeros((1, 6)))), factory)
    assert answer.bank is not None
    x, layer = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(0)), LAYERS[1]
    found = answer.bank.route(torch.ones(1, 1)).apply(layer, x, torch.zeros(1, 3, 40))
    expected = torch.zeros(3, 40)
    for devices in ((0, 1), (2, 3)):
        b = bar(devices)[size // 2 :].view(40, RANK)
        for d in devices:
            expected += 8.0 * x[0] @ factory.projections(member.known[d].recipe).of(layer).T @ b.T
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)
    own = factory.positions(member.own)
    assert torch.equal(member.expert.values, bar((0, 1))[own])  # training is within its own cluster
    assert isinstance(w.method, AggregatingMethod)
    assert w.method.clusters(member) == [(0, 1), (2, 3)]


def test_one_cluster_averages_over_all_that_arrived() -> None:
    w = world("single_cluster", PAIRS, **TWO)
    assert isinstance(w.method, AggregatingMethod)
    w.play()
    w.play()
    member = w.state.members["single_cluster"][0]
    assert w.method.clusters(member) == [(0, 1, 2, 3)]
    whole = w.method.expansion(member, (0, 1, 2, 3), w.factory)
    assert torch.equal(member.expert.values, whole[w.factory.positions(member.own)])


def test_a_group_in_two_clusters_stands_behind_the_mean_of_both() -> None:
    w = world("shared_b", PAIRS, "abac", **TWO)
    w.play()
    w.play()
    member, factory, method = w.state.members["shared_b"][3], w.factory, w.method
    assert isinstance(method, AggregatingMethod)
    router: Any = SimpleNamespace(
        groups=["a", "b", "c"], by_token=False, abstention=None, gates=lambda seen: np.ones((1, 3)) / 3
    )
    answer = method.answer(member, Prompts(["a"], router, Features(np.zeros((1, 6)))), factory)
    assert answer.bank is not None
    left, right = (method.expansion(member, devices, factory) for devices in ((0, 1), (2, 3)))
    x, layer = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(0)), LAYERS[0]
    for at, (device, bar) in enumerate([(0, (left + right) / 2), (1, left), (3, right)]):
        gates = torch.zeros(1, 3)
        gates[0, at] = 1.0
        found = answer.bank.route(gates).apply(layer, x, torch.zeros(1, 3, 40))
        a = factory.projections(member.known[device].recipe).of(layer)
        b = bar[: len(bar) // 2].view(40, RANK)
        torch.testing.assert_close(found[0], 8.0 * x[0] @ a.T @ b.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "radio", [{"cast": "broadcast"}, {"spectrum": "shared"}, {"spectrum": "shared", "cast": "broadcast"}]
)
@pytest.mark.parametrize("form", ["bfloat16", "int4"])
def test_everything_arrives_over_every_kind_of_radio(radio: dict[str, Any], form: str) -> None:
    exchange = {"values": form, "block": 32}
    w = world("bank", PAIRS, radio={"fading": "none", **radio}, exchange=exchange, **TWO)
    for number in range(1, 5):
        w.play()
        assert all(w.versions(device)[mate] == number for device, mate in ((0, 1), (1, 0), (2, 3), (3, 2)))
        if number % 2 == 0:
            assert all(w.versions(device) == dict.fromkeys(range(4), number) for device in range(4))
    turns = 2 if radio.get("spectrum") == "shared" else 1  # nobody hears while it sends
    assert w.network.formed.slots == turns
    assert w.state.clocks["bank"][1].seconds == pytest.approx(2.0 + (turns + 0.5) * 0.5)
    published = {d: w.state.members["bank"][d].held[d].values for d in range(4)}
    for member in w.state.members["bank"]:
        assert all(torch.equal(member.held[d].values, published[d]) for d in range(4))


def test_members_of_one_cluster_who_cannot_reach_each_other_hear_through_others() -> None:
    line = [(0.0, 0.0), (80.0, 0.0), (160.0, 0.0)]
    single = {"kind": "single", "inner_rounds": 2}
    w = world("single_cluster", line, radio={"fading": "none", "range": 100.0}, clusters=single)
    assert w.network.formed.clusters.clusters == ((0, 1, 2),)
    assert w.network.formed.graph == {0: (1,), 1: (0, 2), 2: (1,)}
    w.play()
    assert w.versions(0) == {0: 1, 1: 1}
    w.play()
    assert w.versions(0) == {0: 2, 1: 2, 2: 2}


def test_who_can_pay_for_one_neighbour_at_a_time_serves_the_other_in_a_later_window() -> None:
    """Within the round one of two equally near neighbours is in outage; when the round is over it has its turn."""
    p_max = 1.5 * least_power(update_bits(32), 100.0)
    assert p_max < 2 * least_power(update_bits(32), 100.0, u=2)
    radio = {"fading": "none", "power_dbm": 10 * math.log10(1000 * p_max)}
    w = world("bank", [(0.0, 0.0), (100.0, 0.0), (-100.0, 0.0)], radio=radio, clusters={"kind": "single"})
    w.play()
    assert w.versions(0) == {0: 1, 1: 1, 2: 1}
    assert sorted([0 in w.versions(1), 0 in w.versions(2)]) == [False, True]
    assert w.state.clocks["bank"][1].outages == 1
    w.play()
    assert [w.versions(device) for device in range(3)] == [dict.fromkeys(range(3), 2)] * 3
    assert w.state.clocks["bank"][2].outages == 1  # that of the round itself; none is given up
