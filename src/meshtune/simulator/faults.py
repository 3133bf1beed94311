"""Faults injected into a run: devices that are absent or late in a round.

Every draw is a function of seed, device and round, so adding devices does not change the draws of the others.
"""

from __future__ import annotations

import numpy as np

from meshtune.config.federation_config import FaultsConfig
from meshtune.wireless.arrays import Bools, Floats
from meshtune.wireless.draws import uniforms


def away(config: FaultsConfig, seed: int, devices: int, round_: int) -> Bools:
    """Return which devices are absent in a round, (devices,)."""
    drawn, _ = uniforms(seed, "dropout", first=np.arange(devices), second=round_)
    found: Bools = drawn < config.dropout
    return found


def slowness(config: FaultsConfig, seed: int, devices: int, round_: int) -> Floats:
    """Return the factor by which each device's computation is slowed in a round, (devices,)."""
    drawn, _ = uniforms(seed, "late", first=np.arange(devices), second=round_)
    return np.where(drawn < config.late, config.slowdown, 1.0)
