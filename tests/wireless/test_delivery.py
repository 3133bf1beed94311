"""Losses and repetitions against the geometric distribution, and what they are charged."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.wireless.config import LossConfig
from meshtune.wireless.delivery import deliver
from meshtune.wireless.link import Radio
from meshtune.wireless.orthogonal_bands import broadcast, unicast

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)
PAYLOAD = 100_700  # 67 packets of 1500 bytes and one of 200


def star(neighbours: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Device 0 sends to all others, and the last to device 0; gains alike, so all fit."""
    sender = np.array([0] * neighbours + [neighbours])
    receiver = np.array([*range(1, neighbours + 1), 0])
    return sender, receiver, np.full(neighbours + 1, 1e-4)


def test_without_losses_the_budget_is_what_is_charged() -> None:
    sender, receiver, gain = star(3)
    gain[1] = 0.0
    budget = unicast(RADIO, 8 * PAYLOAD, sender, gain, 4)
    found = deliver(LossConfig(), budget, sender, receiver, PAYLOAD, seed=0, round_=1)
    assert found.arrived.tolist() == [True, False, True, True]
    assert found.sent_bytes.tolist() == [PAYLOAD, 0, PAYLOAD, PAYLOAD]
    assert found.sender_bytes.tolist() == [2 * PAYLOAD, 0, 0, PAYLOAD]
    assert found.delay.tolist() == budget.delay.tolist()
    assert found.sender_energy == pytest.approx(budget.sender_energy, rel=1e-12, abs=0)


def test_repetitions_follow_the_truncated_geometric_distribution() -> None:
    config = LossConfig(probability=0.2, packet=1000, retransmissions=2)
    sender, receiver = np.arange(2000), np.arange(2000) + 2000
    budget = unicast(RADIO, 8e5, sender, np.full(2000, 1e-4), 4000)
    found = deliver(config, budget, sender, receiver, 100_000, seed=3, round_=1)
    # A packet is sent 1, 2 or 3 times with 0.8, 0.16, 0.04: 1.24 on average; all three are lost with 0.008.
    assert found.sent_bytes.mean() / 100_000 == pytest.approx(1.24, abs=4 * np.sqrt(0.2624 / 200_000))
    expected = 0.992**100
    assert found.arrived.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 2000))
    assert found.sent_bytes.max() <= 300_000
    # Time, energy and bytes are charged alike.
    assert found.delay / budget.delay == pytest.approx(found.sent_bytes / 100_000, rel=1e-12, abs=0)
    assert found.sender_energy[:2000] / budget.sender_energy[:2000] == pytest.approx(
        found.sent_bytes / 1e5, rel=1e-9, abs=0
    )
    assert 1 - config.planned_margin == pytest.approx(1 / 1.24)


def test_a_payload_is_given_up() -> None:
    config = LossConfig(probability=0.999, packet=1500, retransmissions=1)
    sender, receiver, gain = star(1)
    found = deliver(config, unicast(RADIO, 8 * PAYLOAD, sender, gain, 2), sender, receiver, PAYLOAD, 0, 1)
    assert not found.arrived.any()
    assert found.sent_bytes.tolist() == [2 * PAYLOAD, 2 * PAYLOAD]  # each packet twice, the short one too


def test_losses_belong_to_the_link_and_the_round() -> None:
    config = LossConfig(probability=0.3)
    sender, receiver, gain = star(5)
    budget = unicast(RADIO, 8 * PAYLOAD, sender, gain, 6)
    whole = deliver(config, budget, sender, receiver, PAYLOAD, 1, 2)
    order = np.array([5, 2, 0])
    part = unicast(RADIO, 8 * PAYLOAD, sender[order], gain[order], 6)
    assert (
        deliver(config, part, sender[order], receiver[order], PAYLOAD, 1, 2).sent_bytes == whole.sent_bytes[order]
    ).all()
    assert not (deliver(config, budget, sender, receiver, PAYLOAD, 1, 3).sent_bytes == whole.sent_bytes).all()
    assert not (deliver(config, budget, sender, receiver, PAYLOAD, 2, 2).sent_bytes == whole.sent_bytes).all()


def test_a_broadcast_repeats_what_anybody_misses_and_counts_once() -> None:
    config = LossConfig(probability=0.2, packet=1000, retransmissions=2)
    sender, receiver, gain = star(4)
    budget = broadcast(RADIO, 8e6, sender, gain, 5)
    found = deliver(config, budget, sender, receiver, 1_000_000, 5, 1, one_copy=True)
    assert len(set(found.sent_bytes[:4])) == 1
    assert found.sender_bytes[0] == found.sent_bytes[0]
    # The largest of four geometric numbers: P(<=1) = 0.8^4, P(<=2) = 0.96^4, bounded by 3.
    expected = 3 - 0.8**4 - 0.96**4
    assert found.sent_bytes[0] / 1e6 == pytest.approx(expected, abs=4 * 0.6 / np.sqrt(1000))
    assert found.sender_energy[0] / budget.sender_energy[0] == pytest.approx(found.sent_bytes[0] / 1e6, rel=1e-9, abs=0)
    alone = deliver(config, budget, sender, receiver, 1_000_000, 5, 1)
    assert (found.arrived == alone.arrived).all()  # a receiver's losses are its own
    assert (found.sent_bytes >= alone.sent_bytes).all()


def test_an_empty_payload_arrives_for_nothing() -> None:
    sender, receiver, gain = star(2)
    budget = unicast(RADIO, 0, sender, gain, 3)
    found = deliver(LossConfig(probability=0.5), budget, sender, receiver, 0, 0, 1)
    assert found.arrived.all()
    assert found.sender_bytes.tolist() == found.sender_energy.tolist() == [0, 0, 0]
    assert found.delay.tolist() == [0, 0, 0]
