"""Compute time, energy and budgets by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meshtune.errors import UserError
from meshtune.wireless.compute import (
    compute_energy,
    compute_limit,
    compute_time,
    frequencies,
    link_limit,
    round_cycles,
    token_cycles,
)
from meshtune.wireless.config import ComputeConfig
from meshtune.wireless.link import Radio, required_power

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)


def test_a_round_by_tokens() -> None:
    # 135e6 parameters: 4 * 135e6 / 16 = 33.75e6 cycles a token; 1000 tokens at 2 GHz 16.875 s, at 0.8 W 13.5 J.
    config = ComputeConfig()
    assert token_cycles(config, 135_000_000) == pytest.approx(33.75e6)
    cycles = round_cycles(config, 135_000_000, np.array([1000, 2000]), 0, 0, 1)
    assert compute_time(cycles, 2e9) == pytest.approx([16.875, 33.75])
    assert compute_energy(cycles, 2e9, config.kappa) == pytest.approx([13.5, 27.0])
    assert token_cycles(ComputeConfig(cycles_per_token=5.0), 135_000_000) == 5


def test_a_round_by_equation_7_and_its_inverse() -> None:
    config = ComputeConfig(epsilon=50.0, c_max=4e9)
    # 20 steps of 4 rows: Q = 4e9 * 4 / (50 * 80) = 4e6 values, which cost exactly c_max.
    values = compute_limit(config, samples=80, batch=4)
    assert values == pytest.approx(4e6)
    assert round_cycles(config, 1, 0, values, 80, 4) == pytest.approx(4e9)
    assert compute_limit(ComputeConfig(), 80, 4) == math.inf
    with pytest.raises(
        UserError,
        match=r"compute.c_max=999 cycles a round pay for no trained value in 80 rows: raise it to at least 1001",
    ):
        compute_limit(ComputeConfig(epsilon=50.0, c_max=999), 80, 4)


def test_what_a_link_carries_takes_all_power_of_all_neighbours() -> None:
    values = link_limit(RADIO, 1e-6, u=4, bits_per_value=16, header_bits=8000)
    # (20e6 * 0.5 / 4) log2(1 + 0.01 * 1e-6 / 8e-14) = 2.5e6 * 16.9316 bits.
    assert values == pytest.approx((2.5e6 * math.log2(125_001) - 8000) / 16, rel=1e-12, abs=0)
    assert 4 * required_power(RADIO, 16 * values + 8000, 1e-6, 4) == pytest.approx(0.01, rel=1e-9, abs=0)
    with pytest.raises(UserError, match=r"a link of gain 1e-20 carries .* to 4 neighbours, not one trained value"):
        link_limit(RADIO, 1e-20, u=4, bits_per_value=16, header_bits=80)


def test_frequencies() -> None:
    assert frequencies(ComputeConfig(), 3, seed=0).tolist() == [2e9, 2e9, 2e9]
    config = ComputeConfig(spread=4.0)
    found = frequencies(config, 5000, seed=1)
    assert 1e9 <= found.min() < 1.01e9
    assert 3.96e9 < found.max() <= 4e9
    assert np.log(found / 2e9).mean() == pytest.approx(0, abs=0.02)
    assert (frequencies(config, 10, seed=1) == found[:10]).all()
    assert not (frequencies(config, 10, seed=2) == found[:10]).any()
