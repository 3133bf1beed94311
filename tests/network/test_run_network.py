"""The network of a run: its facts, formed once for a time, and the figures that were really measured."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from airtime import update_bits
from flying import LAYERS, RANK, World, world
from meshtune.adapter.sites import sizes
from meshtune.network import radio_network
from meshtune.network.network_notes import network_notes
from meshtune.wireless.arrays import Floats

# Two pairs, 10 m apart within and 200 m between.
PAIRS = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]
TWO: dict[str, Any] = {"clusters": {"s_max": 1.0, "most": 2, "inner_rounds": 2, "rate": "expected"}}


class Swapping:
    """Devices 1 and 2 change places after a second and a half."""

    def positions(self, time: float) -> Floats:
        order = [0, 2, 1, 3] if time >= 1.5 else [0, 1, 2, 3]
        return np.array([PAIRS[at] for at in order])


def jumping() -> World:
    moves = {"positions": PAIRS, "mobility": "waypoint", "radius": 6000.0}
    return world("bank", PAIRS, "", Swapping(), places=moves, **TWO)  # type: ignore[arg-type]


def test_facts_are_those_of_the_network_in_plain_values() -> None:
    network = world("bank", PAIRS, **TWO).network
    facts = json.loads(json.dumps(network.facts()))
    assert facts["clusters"] == [[0, 1], [2, 3]]
    assert facts["links"] == [[1, 2]]
    assert facts["components"] == [[0, 1, 2, 3]]
    assert facts["positions"] == [list(place) for place in PAIRS]
    assert (facts["s_max"], facts["payload_bytes"]) == (1.0, update_bits(32) / 8)
    assert [pair[:2] for pair in facts["within"]] == [[0, 1], [2, 3]]
    band, noise = 20e6, 10 ** (-174 / 10) / 1000 * 20e6
    capacity = band * np.log2(1 + 0.01 / 100 / noise)
    assert [bits for _, _, bits in facts["within"]] == pytest.approx([capacity] * 2)
    assert [row[0] for row in facts["refused"]] == [0, 1, 2, 3]
    assert facts["refused"][0] == [0, 2, "size"]
    assert "negotiated" not in facts
    assert list(facts["why"]) == ["0", "1", "2", "3"]
    assert set(network.outline()) < set(facts)


def test_collisions_are_measured_in_the_masks_themselves() -> None:
    w = world("bank", PAIRS, **TWO)
    own = [member.own.masks for member in w.state.members["bank"]]
    for cluster, rate in zip(((0, 1), (2, 3)), w.network.measured, strict=True):
        pairs = zip(*(own[device] for device in cluster), strict=True)
        both = sum(len(np.intersect1d(a, b)) for a, b in pairs)
        assert rate == pytest.approx(both / sum(sizes(LAYERS, RANK)))
    dense = world("lora", PAIRS, **TWO).network
    assert dense.measured == (1.0, 1.0)
    alone = world("lora", PAIRS, clusters={"most": 1}).network
    assert alone.measured == (0.0,) * 4
    assert alone.formed.clusters.s_max == 1.0  # nothing collides: power and range alone decide


def test_devices_that_move_have_another_network_at_another_time() -> None:
    network = jumping().network
    assert network.outline()["clusters"] == [[0, 1], [2, 3]]
    later = network.at(2.0)
    assert later.outline()["clusters"] == [[0, 2], [1, 3]]
    assert later.time == 2.0
    assert later.outline()["positions"][1] == [210.0, 0.0]
    assert later.measured != network.measured


def test_every_device_is_explained_once_for_all_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    network = world("bank", [(0, 0), (10, 0), (20, 0)]).network
    explain = radio_network.explain
    monkeypatch.setattr(
        radio_network, "explain", lambda clusters, device, most: asked.append(device) or explain(clusters, device, most)
    )
    first = network.facts()["why"]
    assert network.facts()["why"] == first
    network_notes(network)
    assert asked == [0, 1, 2]


def test_a_network_is_a_function_of_time_and_formed_once() -> None:
    w = jumping()
    assert w.network.at(0.0) is w.network
    later = w.network.at(7.0)
    assert w.network.at(7.0) is later
    assert later.at(0.0) is w.network
    again = jumping().network.at(7.0)
    one, other = again.formed, later.formed
    assert (one.clusters.clusters, one.graph, one.bits) == (other.clusters.clusters, other.graph, other.bits)
    assert other.slots == 1
