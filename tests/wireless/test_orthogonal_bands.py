"""Budgets of whole exchanges against link-by-link sums, over orthogonal bands and over a shared one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.wireless.channel import open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.interference import cross_gains, least_powers, shared, slots
from meshtune.wireless.link import Radio, outage_probability, rate, required_power
from meshtune.wireless.link_budget import MOST_SHARED, over_the_air
from meshtune.wireless.orthogonal_bands import LinkBudget, broadcast, unicast

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)
LINKS = [(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)]
SENDER, RECEIVER = np.array(LINKS).T
GAIN = np.array([1e-4, 1e-6, 1e-12, 1e-4, 1e-6, 1e-12])


def same(budget: LinkBudget, other: LinkBudget) -> None:
    for name in vars(budget):
        assert getattr(budget, name) == pytest.approx(getattr(other, name), rel=1e-9), name


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
    assert found.power == pytest.approx(by_hand, rel=1e-12)
    assert found.rate == pytest.approx([8e7, 8e7, 0, 2e7, 2e7, 0], rel=1e-9)
    assert found.delay == pytest.approx([0.5, 0.5, np.inf, 0.5, 0.5, np.inf], rel=1e-9)
    assert found.sender_power == pytest.approx([by_hand[0] + by_hand[1], *by_hand[3:5], 0], rel=1e-12)
    assert found.sender_energy == pytest.approx(0.5 * found.sender_power, rel=1e-9)
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
        assert again.power == pytest.approx(found.power[order], rel=1e-12)
        assert again.sender_energy == pytest.approx(found.sender_energy, rel=1e-12)


def test_broadcast_is_one_copy_for_the_weakest() -> None:
    found = broadcast(RADIO, 4e7, SENDER, GAIN, 4)
    # The whole band: 4e7 / 1e7 = 4 bit/s/Hz; 8e-14 / 1e-6 * 15 for the weaker one of device 0's two.
    assert found.served.tolist() == [True, True, False, True, True, False]
    assert found.power[:3] == pytest.approx([1.2e-6, 1.2e-6, 0], rel=1e-12)
    assert found.sender_power == pytest.approx([1.2e-6, 1.2e-8, 1.2e-6, 0], rel=1e-12)
    assert found.sender_energy == pytest.approx(0.5 * found.sender_power, rel=1e-9)
    assert found.rate[:2] == pytest.approx([8e7, 8e7], rel=1e-9)  # both hear the same stream
    assert found.u.tolist() == [2, 1, 1, 0]


def test_one_neighbour_is_in_outage_as_often_as_the_formula_says() -> None:
    bits, mean = 18.5e7, 1e-5
    rho = np.random.default_rng(3).exponential(size=100_000)
    served = unicast(RADIO, bits, np.arange(rho.size), mean * rho, rho.size).served
    formula = float(outage_probability(RADIO, bits, mean))
    assert 1 - served.mean() == pytest.approx(formula, abs=4 * np.sqrt(formula / rho.size))


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
    assert power == pytest.approx(exact, rel=1e-9)
    assert heard == pytest.approx(exact[::-1] * 1e-9, rel=1e-9)
    assert 4e7 / rate(RADIO, power, own, 1, heard) == pytest.approx(0.5, rel=1e-9)
    assert (power > required_power(RADIO, 4e7, own)).all()


def test_a_link_hears_its_share_of_the_others_power() -> None:
    # Device 0 splits its band in two, so each half holds half of what device 5 sends: 2e-3 W over a gain of 1e-9.
    _, cross = cross_gains(np.array([0, 0, 5]), np.array([1, 2, 4]), np.full((6, 6), 1e-9))
    bits, own = np.array([0.0, 0.0, 4e7]), np.array([1e-6, 1e-6, 15 * 8e-14 / 2e-3])
    power, heard = least_powers(RADIO, bits, own, np.array([0, 0, 1]), cross)
    assert power == pytest.approx([0, 0, 2e-3], rel=1e-9)
    assert heard == pytest.approx([1e-12, 1e-12, 0], rel=1e-9)


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
    assert found.power == pytest.approx(alone.power, rel=1e-9)
    assert found.sender_energy == pytest.approx(alone.sender_energy, rel=1e-9)


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
        assert found.delay[on] == pytest.approx(0.5, rel=1e-6)
    assert dropped > 0


def test_strong_interference_drops_a_link_and_not_all() -> None:
    found = shared(RADIO, 4e7, TWO, HEARD, crossing(1e-6))
    assert found.served.sum() == 1
    assert found.power[found.served] == pytest.approx(8e-14 / 1e-6 * 15, rel=1e-9)


CONFIG = RadioConfig()
PLACES = np.array([[0, 0], [100, 0], [0, 400]], dtype=float)
ALL = np.array([(a, b) for a in range(3) for b in range(3) if a != b])


def test_a_round_over_the_air_is_the_budget_of_its_gains() -> None:
    sender, receiver = ALL.T
    channel = open_channel(CONFIG, 1)
    apart = np.hypot(*(PLACES[sender] - PLACES[receiver]).T)
    mean = over_the_air(CONFIG, channel, PLACES, sender, receiver, 4e7, None)
    same(mean, unicast(Radio.of(CONFIG), 4e7, sender, apart**-2.0, 3))
    now = over_the_air(CONFIG, channel, PLACES, sender, receiver, 4e7, 2)
    same(now, unicast(Radio.of(CONFIG), 4e7, sender, channel.gain(2, apart, sender, receiver), 3))
    one = CONFIG.model_copy(update={"cast": "broadcast"})
    same(
        over_the_air(one, channel, PLACES, sender, receiver, 4e7, None),
        broadcast(Radio.of(CONFIG), 4e7, sender, apart**-2.0, 3),
    )


@pytest.mark.parametrize("spectrum", ["orthogonal", "shared"])
@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
def test_nothing_is_sent_beyond_the_range(spectrum: str, cast: str) -> None:
    config = RadioConfig.model_validate({"spectrum": spectrum, "cast": cast, "range": 150})
    found = over_the_air(config, open_channel(config, 1), PLACES, *ALL.T, 1e6, None)
    near = [a + b == 1 for a, b in ALL]
    assert found.served.tolist() == near
    assert found.u.tolist() == [1, 1, 0]


def test_a_shared_band_has_a_bound() -> None:
    config = RadioConfig(spectrum="shared")
    places = np.zeros((MOST_SHARED + 1, 2))
    none = np.zeros(0, dtype=int)
    with pytest.raises(UserError, match=r"2001 devices share one band, .* set radio\.spectrum=orthogonal"):
        over_the_air(config, open_channel(config, 1), places, none, none, 1.0, None)


def test_linked_devices_at_one_point() -> None:
    places = np.zeros((3, 2))
    with pytest.raises(UserError, match="devices 0 and 1 are 0 m apart"):
        over_the_air(CONFIG, open_channel(CONFIG, 1), places, *ALL.T, 1.0, None)
