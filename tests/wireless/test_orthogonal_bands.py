"""Budgets of whole exchanges against link-by-link sums, over orthogonal bands and over a shared one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.wireless.link import Radio, outage_probability
from meshtune.wireless.orthogonal_bands import LinkBudget, broadcast, unicast

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)
LINKS = [(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)]
SENDER, RECEIVER = np.array(LINKS).T
GAIN = np.array([1e-4, 1e-6, 1e-12, 1e-4, 1e-6, 1e-12])


def same(budget: LinkBudget, other: LinkBudget) -> None:
    for name in vars(budget):
        assert getattr(budget, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=0), name


def test_unicast_link_by_link() -> None:
    bits = np.array([4e7, 1e7, 1e7, 3e8])
    found = unicast(RADIO, bits, SENDER, GAIN, 4)
    # Device 0 serves two; 3's payload fits on no link; 0 serves not 3, whose gain is 1e-12.
    assert found.served.tolist() == [True, True, False, True, True, False]
    assert found.u.tolist() == [2, 1, 1, 0]
    by_hand = [
        4e-14 / 1e-4 * (2**8 - 1),  # 4e7 * 2 / (20e6 * 0.5) = 8
        4e-14 / 1e-6 * (2**8 - 1),
        0,
        8e-14 / 1e-4 * (2**1 - 1),
        8e-14 / 1e-6 * (2**1 - 1),
        0,
    ]
    assert found.power == pytest.approx(by_hand, rel=1e-12, abs=0)
    assert found.rate == pytest.approx([8e7, 8e7, 0, 2e7, 2e7, 0], rel=1e-9, abs=0)
    assert found.delay == pytest.approx([0.5, 0.5, np.inf, 0.5, 0.5, np.inf], rel=1e-9, abs=0)
    assert found.sender_power == pytest.approx([by_hand[0] + by_hand[1], *by_hand[3:5], 0], rel=1e-12, abs=0)
    assert found.sender_energy == pytest.approx(0.5 * found.sender_power, rel=1e-9, abs=0)
    assert found.slot.tolist() == [0, 0, 0, 0]


@settings(deadline=None)
@given(st.data())
def test_budgets_keep_their_bounds_in_any_order(data: st.DataObject) -> None:
    devices = data.draw(st.integers(1, 6))
    pairs = [(a, b) for a in range(devices) for b in range(devices) if a != b]
    links = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    sender = np.array([a for a, _ in links], dtype=int)
    gain = np.array(data.draw(st.lists(st.floats(0, 1e-2), min_size=len(links), max_size=len(links), unique=True)))
    bits = np.array(data.draw(st.lists(st.just(0.0) | st.floats(1, 4e8), min_size=devices, max_size=devices)))
    order = np.array(data.draw(st.permutations(range(len(links)))), dtype=int)
    for cast in (unicast, broadcast):
        found = cast(RADIO, bits, sender, gain, devices)
        assert (found.sender_power <= RADIO.p_max * (1 + 1e-9)).all()
        assert (found.delay[found.served] <= RADIO.gamma * (1 + 1e-9)).all()
        assert (found.sender_energy <= found.sender_power * RADIO.gamma * (1 + 1e-9)).all()
        assert (found.power[~found.served] == 0).all()
        assert not found.served[gain == 0].any()
        again = cast(RADIO, bits, sender[order], gain[order], devices)
        assert (again.served == found.served[order]).all()
        assert again.power == pytest.approx(found.power[order], rel=1e-12, abs=0)
        assert again.sender_energy == pytest.approx(found.sender_energy, rel=1e-12, abs=0)


def test_broadcast_is_one_copy_for_the_weakest() -> None:
    found = broadcast(RADIO, 4e7, SENDER, GAIN, 4)
    # The whole band: 4e7 / 1e7 = 4 bit/s/Hz; 8e-14 / 1e-6 * 15 for the weaker one of device 0's two.
    assert found.served.tolist() == [True, True, False, True, True, False]
    assert found.power[:3] == pytest.approx([1.2e-6, 1.2e-6, 0], rel=1e-12, abs=0)
    assert found.sender_power == pytest.approx([1.2e-6, 1.2e-8, 1.2e-6, 0], rel=1e-12, abs=0)
    assert found.sender_energy == pytest.approx(0.5 * found.sender_power, rel=1e-9, abs=0)
    assert found.rate[:2] == pytest.approx([8e7, 8e7], rel=1e-9, abs=0)  # both hear the same stream
    assert found.u.tolist() == [2, 1, 1, 0]


def test_one_neighbour_is_in_outage_as_often_as_the_formula_says() -> None:
    bits, mean = 18.5e7, 1e-5
    rho = np.random.default_rng(3).exponential(size=100_000)
    served = unicast(RADIO, bits, np.arange(rho.size), mean * rho, rho.size).served
    formula = float(outage_probability(RADIO, bits, mean))
    assert 1 - served.mean() == pytest.approx(formula, abs=4 * np.sqrt(formula / rho.size))
