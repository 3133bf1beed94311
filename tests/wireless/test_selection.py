"""The largest number of neighbours against all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.wireless.link import Radio, required_power
from meshtune.wireless.selection import select, select_one

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)
lists = st.lists(st.floats(1e-9, 1e-2), min_size=1, max_size=7)


def powers(bits: float, gains: np.ndarray) -> float:
    """The power of a set of neighbours, each at its own, over an even split."""
    return float(required_power(RADIO, bits, gains, len(gains)).sum())


@settings(max_examples=200, deadline=None)
@given(lists, st.floats(1e6, 3e8))
def test_no_subset_is_larger(gains: list[float], bits: float) -> None:
    gain = np.array(gains)
    found = select_one(RADIO, bits, gain)
    feasible = [
        subset
        for size in range(1, len(gain) + 1)
        for subset in combinations(range(len(gain)), size)
        if powers(bits, gain[list(subset)]) <= RADIO.p_max * (1 - 1e-9)
    ]
    assert len(found) >= max(map(len, feasible), default=0)
    if len(found):
        assert powers(bits, gain[found]) <= RADIO.p_max * (1 + 1e-9)
        assert (np.diff(gain[found]) <= 0).all()
        assert np.sort(gain)[::-1][len(found) - 1] == gain[found].min()  # the strongest ones


def test_pruning_one_by_one_would_drop_too_many() -> None:
    # Three equal neighbours need 3 * (20e6 * 4e-21 / 3 / 1e-4) * (2^(3 x) - 1) W. With x = 9 that is too much, for
    # two it is not; what each of three alone would be given at a third of the band is too much for even one.
    gain, bits = np.full(3, 1e-4), 9 * 20e6 * 0.5
    assert powers(bits, gain) > RADIO.p_max
    assert float(required_power(RADIO, bits, 1e-4, 3)) > RADIO.p_max
    assert len(select_one(RADIO, bits, gain)) == 2


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_many_devices_are_many_single_ones_in_any_order(data: st.DataObject) -> None:
    each = data.draw(st.lists(st.lists(st.floats(0, 1e-3), max_size=5), min_size=1, max_size=5))
    bits = np.array(data.draw(st.lists(st.floats(1e6, 3e8), min_size=len(each), max_size=len(each))))
    sender = np.repeat(np.arange(len(each)), [len(gains) for gains in each])
    gain = np.array([value for gains in each for value in gains], dtype=float)
    order = np.array(data.draw(st.permutations(range(len(gain)))), dtype=int)
    served, u = select(RADIO, bits, sender[order], gain[order], len(each))
    for device, gains in enumerate(each):
        alone = select_one(RADIO, float(bits[device]), np.array(gains, dtype=float))
        assert u[device] == len(alone) == served[sender[order] == device].sum()
        chosen = gain[order][served & (sender[order] == device)]
        assert sorted(chosen) == sorted(np.array(gains)[alone])


def test_links_whose_inverse_gains_add_up_beyond_all_floats_do_not_fit() -> None:
    least = 1.1125369292536007e-308  # 1/h is finite, twice that is not
    assert np.isfinite(1 / least)
    served, u = select(RADIO, 1e6, np.array([0, 0, 1]), np.array([least, least, 1.0]), 2)
    assert served.tolist() == [False, False, True]
    assert u.tolist() == [0, 1]


def test_a_strong_link_behind_many_weak_ones_keeps_its_digits() -> None:
    # A running sum over all devices would reach 1e18 before it comes to the last one's 1/h of 1.
    sender = np.array([0] * 10 + [1])
    gain = np.array([1e-17] * 10 + [1.0])
    radio = Radio(20e6, 4e-21, p_max=float(required_power(RADIO, 1e7, 1.0)) * (1 + 1e-12), gamma=0.5)
    served, u = select(radio, 1e7, sender, gain, 2)
    assert u.tolist() == [0, 1]
    assert served.tolist() == [False] * 10 + [True]


def test_ties_go_to_the_first_and_no_gain_to_nobody() -> None:
    assert select_one(RADIO, 9 * 20e6 * 0.5, np.full(3, 1e-4)).tolist() == [0, 1]
    assert select_one(RADIO, 0, np.array([0.0, 1e-4])).tolist() == [1]
    served, u = select(RADIO, 1e6, np.zeros(0, dtype=int), np.zeros(0), 3)
    assert (len(served), u.tolist()) == (0, [0, 0, 0])
