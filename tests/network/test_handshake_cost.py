"""What a handshake takes over the air, hop by hop and by hand."""

from __future__ import annotations

from typing import Any

import pytest

from flying import world
from meshtune.network.handshake_cost import handshake_cost
from meshtune.network.inventory_cost import inventory_cost
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import RoundCost
from meshtune.node.envelope import Envelope
from meshtune.wireless.link import Radio, total_power

# A right-angled triangle of 30, 40 and 50 m.
PLACES = [(0.0, 0.0), (30.0, 0.0), (0.0, 40.0)]
N0, W, GAMMA = 10 ** (-174 / 10) / 1000, 20e6, 0.5
HOP = {(0, 1): 1000, (0, 2): 2000, (1, 0): 500}


def letter(sender: int, receiver: int, count: int) -> Envelope:
    return Envelope(sender, receiver, sender, 1, bytes(count), {"control": count})


def network(**radio: Any) -> RunNetwork:
    return world("bank", PLACES, radio={"fading": "none", **radio}).network


def power(count: int, u: int, losses: float) -> float:
    return N0 * W / u * (2 ** (8 * count * u / (W * GAMMA)) - 1) * losses


def test_a_hop_is_one_window_of_each_senders_longest_payload() -> None:
    tick = handshake_cost(network(), [HOP, {(2, 1): 700}])
    assert tick.seconds == 2 * GAMMA
    assert tick.airtime == 3 * GAMMA
    joules = GAMMA * (power(2000, 2, 900 + 1600) + power(500, 1, 900) + power(700, 1, 2500))
    assert tick.sending == pytest.approx(joules, rel=1e-6, abs=0)
    assert tick == RoundCost(seconds=tick.seconds, sending=tick.sending, airtime=tick.airtime)
    assert handshake_cost(network(), []) == RoundCost()


def test_on_a_shared_band_senders_take_turns() -> None:
    assert handshake_cost(network(spectrum="shared"), [HOP]).seconds == 2 * GAMMA


def test_what_does_not_fit_takes_as_many_windows_as_it_needs_and_the_slowest_ends_the_hop() -> None:
    narrow = network(bandwidth=400.0)
    radio = Radio.of(narrow.site.radio)
    windows = []
    for count, u, losses in ((2000, 2, 2500), (500, 1, 900)):
        need = (n for n in range(1, 99) if total_power(radio, 8 * count / n, u, losses) <= radio.p_max)
        windows.append(next(need))
    assert windows[0] > windows[1]
    tick = handshake_cost(narrow, [HOP])
    assert tick.seconds == windows[0] * GAMMA
    assert tick.airtime == sum(windows) * GAMMA


def test_what_is_said_of_who_knows_whom_is_counted_apart() -> None:
    formed = network()
    said = [[letter(0, 1, 90)], [letter(1, 2, 40), letter(2, 1, 40)]]
    tick = handshake_cost(formed, [HOP], said)
    apart = [inventory_cost(formed.site, formed.formed.where.positions, one) for one in said]
    assert tick.inventory_seconds == sum(seconds for seconds, _ in apart) == 2 * GAMMA / 32
    assert tick.inventory == pytest.approx(sum(joules for _, joules in apart), rel=1e-12, abs=0)
    assert tick.inventory > 0
    assert tick.seconds == GAMMA
