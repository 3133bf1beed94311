"""The urban channel against its report's formulas, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.wireless.channel import open_channel
from meshtune.wireless.channels.urban import Urban, los_probability, path_loss_db
from meshtune.wireless.config import RadioConfig, UrbanConfig

A, B = np.triu_indices(60, 1)


def test_urban_loss_by_hand() -> None:
    # At 2 GHz the breakpoint is at 4 * 0.8 * 0.8 * 2e9 / 3e8 = 17.07 m.
    yes, no = np.array([True]), np.array([False])
    # 10 m, in sight: 22.7 + 27 + 6.021 = 55.72; free space 20 + 46.4 - 7.959 = 58.44 is more.
    assert path_loss_db(np.array([10.0]), 2e9, yes) == pytest.approx(58.4412, abs=1e-3)
    # 100 m, in sight: 80 + 7.56 + 34.6 * 0.09691 + 2.7 * 0.30103 = 91.726.
    assert path_loss_db(np.array([100.0]), 2e9, yes) == pytest.approx(91.7259, abs=1e-3)
    # 100 m, out of sight: 2 * 43.7466 + 5.83 * 0.17609 + 18.38 + 23 * 0.30103 - 5 = 108.824.
    assert path_loss_db(np.array([100.0]), 2e9, no) == pytest.approx(108.8235, abs=1e-3)
    # 2 m: free space, 6.0206 + 38.4412.
    assert path_loss_db(np.array([2.0]), 2e9, no) == pytest.approx(44.4618, abs=1e-3)
    # 700 MHz, 100 m, out of sight: 87.4932 + 1.0266 + 16.33 + 26.16 * log10(0.7) - 5 = 95.798.
    assert path_loss_db(np.array([100.0]), 0.7e9, no) == pytest.approx(95.7976, abs=1e-3)


@pytest.mark.parametrize("carrier", [1.5e9, 2e9])
def test_urban_bands_meet(carrier: float) -> None:
    no = np.array([False])
    below, above = (path_loss_db(np.array([200.0]), carrier + step, no) for step in (-1.0, 0.0))
    assert below == pytest.approx(above, abs=0.02)


def test_urban_sight() -> None:
    near = np.array([0.1, 18.0])
    assert los_probability(near) == pytest.approx(1)
    # At 36 m: 0.5 (1 - 1/e) + 1/e = 0.684.
    assert los_probability(np.array([36.0])) == pytest.approx(0.68394, abs=1e-5)
    channel = Urban(RadioConfig(channel="urban", urban=UrbanConfig(shadowing_db=0)), 1)
    at = np.full(len(A), 36.0)
    sight = channel.line_of_sight(at, A, B)
    assert sight.mean() == pytest.approx(0.684, abs=4 * np.sqrt(0.684 * 0.316 / len(A)))
    # Whoever sees at 60 m sees at 36 m: one draw for the run.
    assert (channel.line_of_sight(np.full(len(A), 60.0), A, B) <= sight).all()
    loss = -10 * np.log10(channel.mean_gain(at, A, B))
    assert loss == pytest.approx(path_loss_db(at, 2e9, sight), abs=1e-9)


def test_urban_receives_no_more_than_was_sent() -> None:
    channel = open_channel(RadioConfig(channel="urban", urban=UrbanConfig(shadowing_db=20)), 1)
    assert channel.mean_gain(np.full(len(A), 0.05), A, B).max() == 1
