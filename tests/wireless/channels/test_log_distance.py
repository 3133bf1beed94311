"""Log-distance path loss worked out by hand, and the shadowing of a pair on top of it."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.wireless.channel import open_channel, shadowing
from meshtune.wireless.config import LogDistanceConfig, RadioConfig

A, B = np.array([0, 0, 0, 5]), np.array([1, 2, 3, 4])


def test_log_distance_by_hand() -> None:
    own = LogDistanceConfig(reference_loss_db=40, reference_distance=2, exponent=3, shadowing_db=0)
    channel = open_channel(RadioConfig(channel="log_distance", log_distance=own), 1)
    # 40 dB at 2 m and nearer; 30 dB more each decade.
    found = channel.mean_gain(np.array([0.5, 2.0, 20.0, 200.0]), A, B)
    assert found.tolist() == pytest.approx([1e-4, 1e-4, 1e-7, 1e-10], rel=1e-12, abs=0)


def test_shadowing_is_a_loss_on_top_at_any_distance() -> None:
    own = LogDistanceConfig(reference_loss_db=50, exponent=2, shadowing_db=8)
    channel = open_channel(RadioConfig(channel="log_distance", log_distance=own), 3)
    lost = shadowing(3, 8, A, B)
    assert len({*lost}) == 4
    for metres, median in ((0.2, 50), (1.0, 50), (100.0, 90)):
        found = channel.mean_gain(np.full(4, metres), A, B)
        assert -10 * np.log10(found) == pytest.approx(median + lost, abs=1e-9)
