"""Embeddings of prompts of several groups, as routers see them."""

from __future__ import annotations

import numpy as np

from meshtune.routing.features import Features
from meshtune.routing.statistics import Statistics, summarise

K = 16


def far(groups: int = 3, rows: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Embeddings of several groups: nearly all of every mean is common to all."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(K) * 30
    return {
        f"t{g}": common + rng.standard_normal(K) + rng.standard_normal((rows + 9 * g, K)) * 0.3 for g in range(groups)
    }


def announced(embedded: np.ndarray) -> Statistics:
    return summarise(np.zeros_like(embedded), 2, embedded)


def seen(embedded: np.ndarray) -> Features:
    return Features(np.zeros_like(embedded), embedded)
