"""Clusters formed anew as devices move, against scenes by hand: who is with whom, who learns of whom, what it costs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from flying import LAYERS, RANK, World, world
from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.sites import sizes
from meshtune.methods.aggregating import AggregatingMethod
from meshtune.methods.expert_bank import BankMethod
from meshtune.network.virtual_clock import elapsed
from meshtune.node.announcements import to_messages
from meshtune.simulator.checkpoint import pack_state
from meshtune.simulator.reclustering import behind, every, moved, network_of, reclustering_note
from meshtune.topology.graphs import components
from meshtune.wire.payload import encode
from meshtune.wireless.arrays import Floats

Places = list[tuple[float, float]]

PAIRS: Places = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]
SWAPPED: Places = [PAIRS[0], PAIRS[2], PAIRS[1], PAIRS[3]]
TWO = {"s_max": 1.0, "most": 2, "inner_rounds": 2, "rate": "expected"}  # equal densities: energy decides
WALK = {"mobility": "waypoint", "radius": 6000.0}
FAR: Places = [(0.0, 0.0), (10.0, 0.0), (5000.0, 0.0), (5010.0, 0.0)]
NEAR: Places = [(0.0, 0.0), (10.0, 0.0), (60.0, 0.0), (70.0, 0.0)]


@dataclass
class Jump:
    """Devices that stand at one place until a time, and at another from then on."""

    before: Places
    after: Places
    when: float

    def positions(self, time: float) -> Floats:
        return np.array(self.after if time >= self.when else self.before)


def jumping(name: str, before: Places, after: Places, groups: str = "", **more: Any) -> World:
    """Return a world whose devices jump within the first round."""
    settings = {"clusters": TWO, "places": {"positions": before, **WALK}, **more}
    return world(name, before, groups, Jump(before, after, 1.5), **settings)


def least_power(bits: float, metres: float, u: int = 1) -> float:
    """Return Lemma 1's power over the paper's channel, with N0 = -174 dBm/Hz, W = 20 MHz and Gamma = 0.5 s."""
    band = 20e6 / u
    return 10 ** (-17.4) / 1000 * band * metres**2 * (2 ** (bits / (band * 0.5)) - 1)


def test_devices_that_swap_places_swap_clusters() -> None:
    w = jumping("bank", PAIRS, SWAPPED)
    for _ in range(2):
        w.play()
        assert network_of(w.network, w.state.clocks["bank"], w.state.round).formed.clusters.clusters == (
            (0, 1),
            (2, 3),
        )
    assert w.radio.formed == []
    assert w.versions(0) == dict.fromkeys(range(4), 2)
    w.play()
    (formed,) = w.radio.formed
    assert (formed.round, formed.method, formed.moved, formed.apart) == (3, "bank", (1, 2), None)
    assert formed.network.formed.clusters.clusters == ((0, 2), (1, 3))
    assert [(link.low, link.high) for link in formed.network.formed.backbone.links] == [(1, 2)]
    assert [w.versions(device) for device in range(4)] == [
        {0: 3, 1: 2, 2: 3, 3: 2}, {0: 2, 1: 3, 2: 2, 3: 3}, {0: 3, 1: 2, 2: 3, 3: 2}, {0: 2, 1: 3, 2: 2, 3: 3},
    ]  # fmt: skip
    facts = formed.facts()
    assert facts["clusters"] == [[0, 2], [1, 3]]
    assert facts["links"] == [[1, 2]]
    assert facts["positions"] == [list(place) for place in SWAPPED]
    assert facts["time"] == elapsed(w.state.clocks["bank"][:3])
    assert reclustering_note([formed]) == (
        "round 3 used other clusters, as devices have moved: bank 2 of 2 devices, 1 and 2 changed"
    )
    w.play()
    assert [w.versions(device) for device in range(4)] == [dict.fromkeys(range(4), 4)] * 4
    assert len(w.radio.formed) == 1  # the next is before round 5


@pytest.mark.parametrize("name", ["paper", "paper_masked", "shared_b"])
def test_a_mix_is_over_the_cluster_that_a_device_is_in_now(name: str) -> None:
    """eq. 24: in round 3 device 0 averages with 2, and not with 1, of which it holds an update of round 2."""
    w = jumping(name, PAIRS, SWAPPED)
    for _ in range(3):
        w.play()
    member, method = w.state.members[name][0], w.method
    assert isinstance(method, AggregatingMethod)
    assert method.clusters(member) == [(0, 2), (1, 3)]
    own = w.factory.positions(member.own)
    whole = method.expansion(member, (0, 2), w.factory)
    assert torch.equal(member.expert.values, whole[own])
    total, weight = torch.zeros(sum(sizes(LAYERS, RANK))), torch.zeros(sum(sizes(LAYERS, RANK)))
    for device, share in ((0, 10.0), (2, 30.0)):
        at = w.factory.positions(member.known[device])
        total[at] += share * member.held[device].values.float()
        weight[at] += share
    divisor = weight[own] if method.masked else torch.tensor(40.0)
    torch.testing.assert_close(member.expert.values, total[own] / divisor, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["bank", "lora"])
def test_who_does_not_move_is_played_with_as_if_nobody_could(name: str) -> None:
    radio = {"power_dbm": -95.0, "loss": {"probability": 0.2, "packet": 64}}
    more: dict[str, Any] = {"radio": radio, "faults": {"dropout": 0.2}}
    still = world(name, PAIRS, clusters=TWO, **more)
    stays = jumping(name, PAIRS, PAIRS, clusters={**TWO, "reform": 1}, **more)
    for _ in range(4):
        still.play()
        stays.play()
    (one, facts), (other, same) = pack_state(still.state), pack_state(stays.state)
    assert facts == same
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert still.radio.formed == []
    assert [(formed.round, formed.moved) for formed in stays.radio.formed] == [(2, ()), (3, ()), (4, ())]
    assert reclustering_note(stays.radio.formed[:1]) is None


def test_what_is_first_heard_is_charged_to_the_byte_and_the_joule() -> None:
    """Two pairs out of range of each other come together: 1 and 2 tell each other of two devices, then their mates."""
    w = jumping("bank", FAR, NEAR, radio={"fading": "none", "range": 100.0})
    plain = jumping("bank", FAR, FAR, radio={"fading": "none", "range": 100.0})
    for _ in range(3):
        w.play()
        plain.play()
    members = w.state.members["bank"]
    assert [sorted(member.known) for member in members] == [[0, 1, 2, 3]] * 4
    size = [
        sum(len(encode(m)) for m in to_messages(replace(member.own, voted=True), w.method, LAYERS))
        for member in members
    ]
    before, after = (each.state.ledger.per_round("bank")[3] for each in (plain, w))
    relayed = 2 * (size[0] + size[3]) + size[1] + size[2]
    assert after["relayed"] - before["relayed"] == relayed
    direct = sum(after[kind] - before[kind] for kind in ("masks", "control", "router", "values"))
    assert direct == size[1] + size[2]
    assert after["values"] == before["values"]
    assert w.state.ledger.per_round("bank")[0] == plain.state.ledger.per_round("bank")[0]
    told_, had = w.state.clocks["bank"][3], plain.state.clocks["bank"][3]
    assert told_.seconds == pytest.approx(had.seconds + 2 * 0.5)
    left, right = 8.0 * (size[0] + size[1]), 8.0 * (size[2] + size[3])
    watts = [least_power(bits, metres) for bits, metres in ((left, 50), (right, 50), (right, 10), (left, 10))]
    # Within the round the pairs send what they always do.
    assert told_.sending - had.sending == pytest.approx(0.5 * sum(watts), rel=1e-9, abs=0)
    assert told_.airtime == pytest.approx(had.airtime + 4 * 0.5)


def test_nobody_who_is_known_is_announced_again() -> None:
    w = jumping("bank", PAIRS, SWAPPED)
    plain = world("bank", PAIRS, clusters=TWO)
    for _ in range(3):
        w.play()
        plain.play()
    one, other = (ledger.per_round("bank")[3] for ledger in (w.state.ledger, plain.state.ledger))
    assert one.pop("inventory") > 0  # new neighbours are told what is held, and nothing else
    assert one == {kind: count for kind, count in other.items() if kind != "inventory"}
    assert w.state.clocks["bank"][3].seconds == plain.state.clocks["bank"][3].seconds


def dense(w: World, values: torch.Tensor, expert: SparseExpert) -> torch.Tensor:
    """Return all layers' B end to end."""
    return torch.cat([expert.with_values(values.float()).pair(layer)[1].flatten() for layer in LAYERS])


def test_mates_who_meet_on_their_way_keep_their_masks_and_answer_with_their_exact_mean() -> None:
    """Devices 0 and 2 are of one group and in two parts: each votes alone. In round 4 they hear of each other."""
    w = jumping("bank", FAR, NEAR, "abac", radio={"fading": "none", "range": 100.0})
    method = w.method
    assert isinstance(method, BankMethod)
    for _ in range(4):
        w.play()
    first, _, third, _ = w.state.members["bank"]
    masks = [torch.from_numpy(np.concatenate(member.own.masks)) for member in (first, third)]
    assert not torch.equal(*masks)
    said = first.known[2]
    assert said.voted
    assert not first.known[0].voted
    assert all(np.array_equal(a, b) for a, b in zip(said.masks, third.own.masks, strict=True))
    assert first.held[2].version == third.held[0].version == 4
    shapes = [method.begin(member.own, {member.device: member.own}, w.factory) for member in (first, third)]
    both = [dense(w, first.held[d].values, shape) for d, shape in zip((0, 2), shapes, strict=True)]
    for member in w.state.members["bank"]:
        found = method.of_group(member, "a", w.factory)
        assert isinstance(found, SparseExpert)
        torch.testing.assert_close(dense(w, found.values, found), (10 * both[0] + 30 * both[1]) / 40)
        assert found.count == len(torch.unique(torch.cat([w.factory.positions(m.own) for m in (first, third)])))
    for at, member in enumerate((first, third)):
        own, other = (w.factory.positions(m.own) for m in ((first, third), (third, first))[at])
        shared = torch.isin(own, other)
        assert 0 < int(shared.sum()) < len(own)
        mean = ((10 * both[0] + 30 * both[1]) / 40)[own]
        expected = torch.where(shared, mean, both[at][own])
        torch.testing.assert_close(member.expert.values, expected)
        assert member.expert.count == len(own) == 32


def test_a_group_that_voted_is_introduced_with_what_it_trains() -> None:
    """0 and 1 are mates and agreed on a mask; 2, of the same group, learns of it, and takes part in no vote."""
    w = jumping("bank", FAR, NEAR, "aaab", radio={"fading": "none", "range": 100.0})
    trained = [member.expert for member in w.state.members["bank"]]
    for _ in range(4):
        w.play()
    for member, start in zip(w.state.members["bank"], trained, strict=True):
        assert isinstance(start, SparseExpert)
        assert isinstance(member.expert, SparseExpert)
        assert all(map(torch.equal, member.expert.masks, start.masks))
    known = w.state.members["bank"][2].known
    voted = trained[0]
    assert isinstance(voted, SparseExpert)
    for mate in (0, 1):
        assert known[mate].voted
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(known[mate].masks, voted.masks, strict=True))
    assert not known[3].voted


ROAM: dict[str, Any] = {
    "radio": {"range": 55.0, "loss": {"probability": 0.2, "packet": 64}},
    "faults": {"dropout": 0.2, "late": 0.1},
    "places": {"mobility": "waypoint", "radius": 100.0, "speed": [10.0, 20.0]},
    "clusters": {"s_max": 0.3, "most": 3, "inner_rounds": 2, "reform": 1},
    "train": {"rounds": 12},
}


@pytest.mark.parametrize("form", ["bfloat16", "int4"])
@pytest.mark.parametrize(
    "name",
    [
        "bank",
        "proposed",
        "hard_moe",
        "hard_moe_lora",
        "paper",
        "paper_masked",
        "single_cluster",
        "shared_b",
        "lora",
        "ffa",
    ],
)
def test_devices_may_come_and_go_as_they_like(name: str, form: str) -> None:
    start = [(-90.0, 0.0), (-80.0, 10.0), (90.0, 0.0), (85.0, 5.0), (0.0, 95.0), (5.0, 85.0)]
    settings = {**ROAM, "places": {**ROAM["places"], "positions": start}, "exchange": {"values": form, "block": 32}}
    w = world(name, start, "abacba", seed=3, **settings)
    met = 0
    for number in range(1, 13):
        before = [len(member.known) for member in w.state.members[name]]
        w.play()
        network = network_of(w.network, w.state.clocks[name], number)
        members = w.state.members[name]
        for part in components(network.formed.graph):
            assert all(set(members[device].known) >= set(part) for device in part)
        for member in members:
            assert member.clusters == network.formed.clusters.index
            assert set(member.held) <= set(member.known)
            if not w.method.masks.common:  # these masks are drawn without regard to which columns are in common
                assert member.expert.count == members[0].expert.count
            assert torch.isfinite(member.expert.values).all()
            if isinstance(w.method, AggregatingMethod) and not w.method.whole:
                mates = {d for d, of in member.clusters.items() if of == member.clusters[member.device]}
                assert set(w.method.cluster(member)) == mates & set(member.held)
                assert sorted(itertools.chain(*w.method.clusters(member))) == sorted(member.held)
                for devices in w.method.clusters(member):
                    assert torch.isfinite(w.method.expansion(member, devices, w.factory)).all()
            if isinstance(w.method, BankMethod):
                assert set(w.method.bank(member, w.factory)) == {member.known[d].group for d in member.held}
        met += sum(len(member.known) for member in members) - sum(before)
    assert len(w.radio.formed) == 11
    assert any(formed.moved for formed in w.radio.formed)
    assert len({len(components(formed.network.formed.graph)) for formed in w.radio.formed}) > 1
    assert met  # somebody was first heard of on the way


def test_clusters_are_formed_anew_when_it_is_said_and_never_of_those_who_stand_still() -> None:
    still = world("bank", PAIRS).config
    assert every(still) is None
    assert [behind(still, number) for number in (1, 2, 50)] == [0, 0, 0]
    moving = jumping("bank", PAIRS, PAIRS).config
    assert every(moving) == 2
    assert [behind(moving, number) for number in range(1, 8)] == [0, 0, 2, 2, 4, 4, 6]
    often = jumping("bank", PAIRS, PAIRS, clusters={**TWO, "reform": 3}).config
    assert [behind(often, number) for number in range(1, 8)] == [0, 0, 0, 3, 3, 3, 6]


def test_who_changed_its_cluster_is_told_by_overlap() -> None:
    assert moved([[0, 1], [2, 3]], [[0, 1], [2, 3]]) == ()
    assert moved([[0, 1], [2, 3]], [[0, 2], [1, 3]]) == (1, 2)
    assert moved([[0, 1, 2], [3]], [[0], [1, 2, 3]]) == (0, 3)
    assert moved([[0, 1, 2, 3]], [[0], [1, 2, 3]]) == (0,)
    assert moved([[0], [1], [2]], [[0, 1, 2]]) == (1, 2)
    for old, new in itertools.product([[[0, 1, 2]], [[0, 2], [1]], [[0], [1], [2]]], repeat=2):
        changed = moved(old, new)
        assert (changed == ()) == (old == new)


def test_links_of_a_geometric_graph_follow_devices() -> None:
    """Devices 1 and 2 trade places in the first round; they are 40 m from each other's neighbours, the radius is 30."""
    before = [(0.0, 0.0), (20.0, 0.0), (60.0, 0.0), (80.0, 0.0)]
    after = [before[0], before[2], before[1], before[3]]
    graph = {"kind": "geometric", "radius": 30.0}
    w = jumping("bank", before, after, clusters={"kind": "single", "inner_rounds": 1}, graph=graph)
    assert w.network.formed.inner == {0: (1,), 1: (0,), 2: (3,), 3: (2,)}
    w.play()
    assert set(w.versions(0)) == {0, 1}
    w.play()
    again = network_of(w.network, w.state.clocks["bank"], 2)
    assert again.formed.inner == {0: (2,), 1: (3,), 2: (0,), 3: (1,)}
    (formed,) = w.radio.formed
    assert formed.moved == ()  # nobody changes sides where there is one cluster
    assert {source: version for source, version in w.versions(0).items() if version == 2} == {0: 2, 2: 2}
    # Device 1 takes along what it heard, 2 likewise: once met, each is told of everybody, and provides what it holds.
    assert set(w.state.members["bank"][3].known) == set(w.versions(3)) == {0, 1, 2, 3}
