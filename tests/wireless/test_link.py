"""The link budget's formulas against a link computed by hand, brute force and Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import (
    Radio,
    delay,
    energy,
    noise_power,
    outage_probability,
    payload_limit,
    rate,
    required_power,
    snr_needed,
    total_power,
)

# N0 = 4e-21 W/Hz, W = 20 MHz: round numbers that are close to -174 dBm/Hz.
RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)

radios = st.builds(
    Radio,
    bandwidth=st.floats(1e3, 1e9),
    noise_density=st.floats(1e-22, 1e-18),
    p_max=st.floats(1e-3, 1.0),
    gamma=st.floats(0.01, 10.0),
)
spectral = st.floats(1e-6, 60.0)  # bits u / (W Gamma)
gains = st.floats(1e-14, 1e-2)


def test_a_link_by_hand() -> None:
    # Two neighbours: 10 MHz each, noise 4e-21 * 20e6 / 2 = 4e-14 W. Gain d^-2 at 100 m = 1e-4.
    assert noise_power(RADIO, 2) == pytest.approx(4e-14, rel=1e-12, abs=0)
    # p = 6e-9 W arrives as 6e-13 W: a ratio of 15, log2(16) = 4 bit/s/Hz, 40 Mbit/s.
    assert rate(RADIO, 6e-9, 1e-4, 2) == pytest.approx(40e6, rel=1e-12, abs=0)
    # 20 Mbit take half a second, at 6e-9 W 3e-9 J.
    assert delay(20e6, rate(RADIO, 6e-9, 1e-4, 2)) == pytest.approx(0.5, rel=1e-12, abs=0)
    assert energy(6e-9, 0.5) == pytest.approx(3e-9, rel=1e-12, abs=0)
    # Which is what Lemma 1 says for Gamma = 0.5 s: (4e-14 / 1e-4)(2^(20e6 * 2 / (20e6 * 0.5)) - 1) = 4e-10 * 15.
    assert snr_needed(RADIO, 20e6, 2) == pytest.approx(15, rel=1e-12, abs=0)
    assert required_power(RADIO, 20e6, 1e-4, 2) == pytest.approx(6e-9, rel=1e-12, abs=0)
    # Both neighbours, the other one at 200 m (gain 2.5e-5, four times the power): 6e-9 + 24e-9 W.
    assert total_power(RADIO, 20e6, 2, 1e4 + 4e4) == pytest.approx(3e-8, rel=1e-12, abs=0)
    # As much interference as noise halves the ratio: log2(8.5) bit/s/Hz; or needs twice the power.
    assert rate(RADIO, 6e-9, 1e-4, 2, 4e-14) == pytest.approx(1e7 * math.log2(8.5), rel=1e-12, abs=0)
    assert required_power(RADIO, 20e6, 1e-4, 2, 4e-14) == pytest.approx(1.2e-8, rel=1e-12, abs=0)


def test_the_default_radio_in_si_units() -> None:
    radio = Radio.of(RadioConfig())
    assert radio.noise_density == pytest.approx(3.981071705534969e-21, rel=1e-12, abs=0)  # 10^(-17.4) mW/Hz
    assert (radio.bandwidth, radio.gamma) == (20e6, 0.5)
    assert radio.p_max == pytest.approx(0.01, rel=1e-12, abs=0)


@given(radios, spectral, gains, st.integers(1, 20))
def test_lemma_1_brings_the_delay_to_gamma(radio: Radio, each: float, gain: float, u: int) -> None:
    bits = each * radio.bandwidth * radio.gamma / u
    power = required_power(radio, bits, gain, u)
    assert delay(bits, rate(radio, power, gain, u)) == pytest.approx(radio.gamma, rel=1e-9, abs=0)


def test_lemma_1_is_the_least_feasible_power() -> None:
    draw = np.random.default_rng(1)
    for _ in range(50):
        bits, gain, u = draw.uniform(1e6, 5e7), 10 ** draw.uniform(-10, -4), int(draw.integers(1, 5))
        least = float(required_power(RADIO, bits, gain, u))
        tried = least * np.linspace(0.5, 1.5, 1001)  # brute force, least itself in the middle
        feasible = delay(bits, rate(RADIO, tried, gain, u)) <= RADIO.gamma * (1 + 1e-12)
        assert tried[feasible].min() == pytest.approx(least, rel=1e-12, abs=0)
        assert energy(tried, delay(bits, rate(RADIO, tried, gain, u)))[feasible].argmin() == 0


@given(radios, gains, st.floats(1e-6, 1.0), st.floats(1.001, 1e3), st.integers(1, 20))
def test_energy_rises_with_power_at_a_fixed_payload(
    radio: Radio, gain: float, power: float, factor: float, u: int
) -> None:
    powers = np.array([power, power * factor])
    low, high = energy(powers, delay(1e6, rate(radio, powers, gain, u)))
    assert low < high


@given(radios, spectral, gains, st.integers(1, 20))
def test_more_neighbours_or_bits_never_need_less_power(radio: Radio, each: float, gain: float, u: int) -> None:
    bits = each * radio.bandwidth * radio.gamma / u
    base = required_power(radio, bits, gain, u)
    assert total_power(radio, bits, u, u / gain) <= total_power(radio, bits, u + 1, (u + 1) / gain)
    assert base <= required_power(radio, 1.01 * bits, gain, u)
    assert base <= required_power(radio, bits, gain * 0.99, u)
    assert total_power(radio, bits, u, u / gain) == pytest.approx(u * base, rel=1e-12, abs=0)


def test_small_payloads_lose_no_digits() -> None:
    # 2^x - 1 = x ln 2 for x = 1e-13, where a plain power of two would leave three digits.
    assert snr_needed(RADIO, 1e-6) == pytest.approx(1e-13 * math.log(2), rel=1e-12, abs=0)


def test_what_cannot_be_sent_needs_infinite_power_without_a_warning() -> None:
    assert required_power(RADIO, 1e12, 1e-4) == np.inf
    assert required_power(RADIO, 1e6, 0.0) == np.inf
    assert required_power(RADIO, 0, 1e-4) == 0
    assert total_power(RADIO, 1e12, 1, 1e4) == np.inf
    assert outage_probability(RADIO, 1e6, 0.0) == 1
    assert list(delay(np.array([0.0, 1.0]), 0.0)) == [0, np.inf]
    assert energy(0.0, np.inf) == 0
    assert rate(RADIO, 0.0, 1e-4) == 0


def test_rayleigh_outage_against_monte_carlo() -> None:
    bits, gain = 18.5e7, 1e-5
    rho = np.random.default_rng(7).exponential(size=200_000)
    for u in (1, 2):
        share = bits / u
        formula = float(outage_probability(RADIO, share, gain, u))
        assert 0.01 < formula < 0.9
        measured = (required_power(RADIO, share, gain * rho, u) > RADIO.p_max).mean()
        assert measured == pytest.approx(formula, abs=4 * math.sqrt(formula * (1 - formula) / rho.size))
    by_hand = 1 - math.exp(-(8e-14 / 1e-5) * (2**18.5 - 1) / 0.01)
    assert outage_probability(RADIO, bits, gain) == pytest.approx(by_hand, rel=1e-9, abs=0)


@given(radios, gains, st.integers(1, 20))
def test_the_largest_payload_takes_all_power(radio: Radio, gain: float, u: int) -> None:
    bits = payload_limit(radio, gain, u)
    assert total_power(radio, bits, u, u / gain) == pytest.approx(radio.p_max, rel=1e-6, abs=0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "name, said, remedy",
    [
        ("bandwidth", "bandwidth", "radio.bandwidth"),
        ("noise_density", "noise density", "radio.noise_dbm_hz"),
        ("p_max", "highest power", "radio.power_dbm"),
        ("gamma", "delay bound Gamma", "radio.gamma"),
    ],
)
def test_a_radio_that_means_nothing(name: str, said: str, remedy: str, value: float) -> None:
    whole = {"bandwidth": 1.0, "noise_density": 1.0, "p_max": 1.0, "gamma": 1.0, name: value}
    with pytest.raises(UserError, match=rf"^a {said} of {value:g} .*{remedy}"):
        Radio(**whole)
