"""Prompt vectors of several groups, and the covariance within them worked out whole."""

from __future__ import annotations

import numpy as np

from meshtune.routing.statistics import Statistics, summarise

K = 24


def clouds(groups: int = 4, rows: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    """Prompt vectors of several groups with one skewed covariance and a mean far from 0."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((K, K)) * np.geomspace(3, 0.05, K)
    far = rng.standard_normal(K) * 20
    return {
        f"t{g}": far + rng.standard_normal(K) * 0.6 + rng.standard_normal((rows + g, K)) @ mix for g in range(groups)
    }


def exact(data: dict[str, np.ndarray]) -> dict[str, list[Statistics]]:
    return {group: [summarise(x, K)] for group, x in data.items()}


def pooled_covariance(data: dict[str, np.ndarray]) -> np.ndarray:
    centred = np.concatenate([x - x.mean(axis=0) for x in data.values()])
    return centred.T @ centred / len(centred)
