"""Faults are as frequent as asked for, and belong to a device and a round."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meshtune.config.federation_config import FaultsConfig
from meshtune.simulator.faults import away, slowness


def test_faults_are_as_frequent_as_asked_for_and_more_devices_change_nothing() -> None:
    config = FaultsConfig(dropout=0.2, late=0.3, slowdown=4.0)
    gone = np.array([away(config, 0, 50, number) for number in range(1, 101)])
    slow = np.array([slowness(config, 0, 50, number) for number in range(1, 101)])
    assert gone.mean() == pytest.approx(0.2, abs=4 * 0.4 / math.sqrt(5000))
    assert set(np.unique(slow)) == {1.0, 4.0}
    assert (slow > 1).mean() == pytest.approx(0.3, abs=4 * 0.46 / math.sqrt(5000))
    assert np.array_equal(away(config, 0, 10, 7), gone[6][:10])
    assert not away(FaultsConfig(), 0, 50, 1).any()
