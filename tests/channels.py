"""Sixty devices at drawn distances, and channels over them; a trace of every pair in three rounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meshtune.wireless.channel import Channel, open_channel
from meshtune.wireless.config import RadioConfig

PAIRS = np.array([(a, b) for a in range(60) for b in range(a + 1, 60)])
A, B = PAIRS.T
DISTANCE = np.random.default_rng(0).uniform(1, 900, len(A))


def opened(name: str, trace: Path, seed: int = 1, fading: str = "rayleigh") -> Channel:
    config = {"channel": name, "fading": fading, **({"trace": str(trace)} if name == "trace" else {})}
    return open_channel(RadioConfig.model_validate(config), seed)
