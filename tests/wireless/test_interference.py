"""A band that all devices share: turns, powers and budgets against closed forms and the definition."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.wireless.interference import cross_gains, least_powers, shared, slots
from meshtune.wireless.link import Radio, rate, required_power
from meshtune.wireless.orthogonal_bands import LinkBudget, unicast

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)


def same(budget: LinkBudget, other: LinkBudget) -> None:
    for name in vars(budget):
        assert getattr(budget, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=0), name


def test_turns_keep_a_device_from_sending_while_it_is_sent_to() -> None:
    draw = np.random.default_rng(0)
    for devices in (1, 2, 7, 12):
        links = draw.integers(0, devices, (3 * devices, 2))
        links = links[links[:, 0] != links[:, 1]]
        found = slots(links[:, 0], links[:, 1], devices)
        assert (found[links[:, 0]] != found[links[:, 1]]).all()
        neighbours = max((len(set(links[(links == d).any(axis=1)].ravel()) - {d}) for d in range(devices)), default=0)
        assert found.max() <= neighbours
    ring = np.arange(6)
    assert slots(ring, (ring + 1) % 6, 6).tolist() == [0, 1, 0, 1, 0, 1]


def crossing(cross: float) -> np.ndarray:
    """Gains of two links, 0 to 1 and 2 to 3, each 1e-6, that hear each other at ``cross``."""
    gains = np.full((4, 4), cross)
    gains[0, 1] = gains[1, 0] = gains[2, 3] = gains[3, 2] = 1e-6
    return gains


TWO, HEARD = np.array([0, 2]), np.array([1, 3])


def test_who_is_heard_by_hand() -> None:
    gains = np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]], dtype=float)
    speakers, cross = cross_gains(np.array([2, 0, 2]), np.array([3, 1, 1]), gains)
    assert speakers.tolist() == [0, 2]
    assert cross.tolist() == [[3, 0], [0, 4], [1, 0]]


def test_powers_under_interference_solve_the_linear_equations() -> None:
    # p h = t (sigma^2 + p' g) for both links: the closed form of the least fixed point, t = 2^4 - 1.
    _, cross = cross_gains(TWO, HEARD, crossing(1e-9))
    own = np.full(2, 1e-6)
    power, heard = least_powers(RADIO, np.full(2, 4e7), own, np.array([0, 1]), cross)
    exact = np.linalg.solve(np.array([[1e-6, -15e-9], [-15e-9, 1e-6]]), np.full(2, 15 * 8e-14))
    assert power == pytest.approx(exact, rel=1e-9, abs=0)
    assert heard == pytest.approx(exact[::-1] * 1e-9, rel=1e-9, abs=0)
    assert 4e7 / rate(RADIO, power, own, 1, heard) == pytest.approx(0.5, rel=1e-9, abs=0)
    assert (power > required_power(RADIO, 4e7, own)).all()


def test_a_link_hears_its_share_of_the_others_power() -> None:
    # Device 0 splits its band in two, so each half holds half of what device 5 sends: 2e-3 W over a gain of 1e-9.
    _, cross = cross_gains(np.array([0, 0, 5]), np.array([1, 2, 4]), np.full((6, 6), 1e-9))
    bits, own = np.array([0.0, 0.0, 4e7]), np.array([1e-6, 1e-6, 15 * 8e-14 / 2e-3])
    power, heard = least_powers(RADIO, bits, own, np.array([0, 0, 1]), cross)
    assert power == pytest.approx([0, 0, 2e-3], rel=1e-9, abs=0)
    assert heard == pytest.approx([1e-12, 1e-12, 0], rel=1e-9, abs=0)


def test_who_shares_no_slot_shares_no_interference() -> None:
    # All four neighbours of one another: everybody has a slot, so nobody disturbs anybody.
    pairs = np.array([(a, b) for a in range(4) for b in range(4) if a != b])
    draw = np.random.default_rng(5)
    gains = np.triu(10 ** draw.uniform(-9, -4, (4, 4)), 1)
    gains += gains.T
    found = shared(RADIO, 3e7, pairs[:, 0], pairs[:, 1], gains)
    assert sorted(found.slot) == [0, 1, 2, 3]
    alone = unicast(RADIO, 3e7, pairs[:, 0], gains[pairs[:, 0], pairs[:, 1]], 4)
    assert alone.served.all()
    assert found.power == pytest.approx(alone.power, rel=1e-9, abs=0)
    assert found.sender_energy == pytest.approx(alone.sender_energy, rel=1e-9, abs=0)


@pytest.mark.parametrize("one_copy", [False, True])
def test_shared_budgets_hold_with_the_interference_they_make(one_copy: bool) -> None:
    draw = np.random.default_rng(11)
    dropped = 0
    for _ in range(20):
        place = draw.uniform(0, 600, (9, 2))
        away = np.hypot(*(place[:, None] - place).T)
        np.fill_diagonal(away, 1.0)
        gains = away**-3.5
        sender, receiver = np.nonzero((away < 250) & (away > 1))
        found = shared(RADIO, 2.5e7, sender, receiver, gains, one_copy=one_copy)
        dropped += int((~found.served).sum())
        assert (found.sender_power <= RADIO.p_max).all()
        on = np.flatnonzero(found.served)
        shares = np.ones(len(on), dtype=int) if one_copy else found.u[sender[on]]
        for link, share in zip(on, shares, strict=True):  # each link on its own, from the definition
            others = [
                device
                for device in range(9)
                if device != sender[link] and found.slot[device] == found.slot[sender[link]]
            ]
            noise = 4e-21 * 20e6 / share
            noise += sum(found.sender_power[d] * gains[d, receiver[link]] for d in others) / share
            power = found.sender_power[sender[link]] if one_copy else found.power[link]
            speed = 20e6 / share * np.log2(1 + power * gains[sender[link], receiver[link]] / noise)
            assert 2.5e7 / speed <= 0.5 * (1 + 1e-6)
            assert found.slot[receiver[link]] != found.slot[sender[link]]
        assert found.delay[on] == pytest.approx(0.5, rel=1e-6, abs=0)
    assert dropped > 0


def test_strong_interference_drops_a_link_and_not_all() -> None:
    found = shared(RADIO, 4e7, TWO, HEARD, crossing(1e-6))
    assert found.served.sum() == 1
    assert found.power[found.served] == pytest.approx(8e-14 / 1e-6 * 15, rel=1e-9, abs=0)
