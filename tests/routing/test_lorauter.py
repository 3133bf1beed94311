"""Retrieval of tasks worked out by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from clouds import clouds, exact
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.lorauter import LorauterRouter
from meshtune.routing.routers import make_router
from meshtune.routing.statistics import summarise


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 0.2), (2, 0.2), (3, 1.0), (9, 0.05)])
def test_the_nearest_tasks_share_the_softmax_of_scipys_cosines(top_k: int, temperature: float) -> None:
    data = clouds()
    settings = RouterConfig(lorauter_top_k=top_k, lorauter_temperature=temperature)
    router = make_router("lorauter", exact(data), settings)
    query = np.concatenate(list(data.values()))[::7]
    means = np.stack([data[group].mean(axis=0) for group in router.groups])
    centre = means.mean(axis=0)
    similar = 1 - cdist(query - centre, means - centre, "cosine")
    np.testing.assert_allclose(router.scores(Features(query)), similar, atol=1e-9)
    for row, found in zip(similar, router.gates(Features(query)), strict=True):
        best = sorted(range(len(row)), key=lambda g: -row[g])[:top_k]
        odds = {g: np.exp(row[g] / temperature) for g in best}
        np.testing.assert_allclose(found, [odds.get(g, 0.0) / sum(odds.values()) for g in range(len(row))], atol=1e-9)


def test_by_hand() -> None:
    """Task means at 0, 90 and 180 degrees around (1, 1), whose mean lies a third above it."""
    sources = {g: [summarise(np.array([m]))] for g, m in {"a": [2.0, 1], "b": [1, 2.5], "c": [0, 1]}.items()}
    router = LorauterRouter(sources, top_k=1)
    assert router.groups == ("a", "b", "c")
    np.testing.assert_array_equal(router.gates(Features(np.array([[1.0, 9], [5, 1], [-1, 1]]))), np.eye(3)[[1, 0, 2]])


def test_several_sources_of_a_task_are_one_source_of_their_prompts() -> None:
    data = clouds(3)
    halves = {g: [summarise(x[:11]), summarise(x[11:])] for g, x in data.items()}
    query = Features(np.concatenate(list(data.values())))
    np.testing.assert_allclose(LorauterRouter(halves).gates(query), LorauterRouter(exact(data)).gates(query), atol=1e-9)


def test_a_task_known_alone_answers_everything() -> None:
    router = LorauterRouter({"a": [summarise(np.ones((2, 3)))]})
    np.testing.assert_array_equal(router.gates(Features(np.array([[1.0, 1, 1], [4, 0, 1]]))), [[1.0], [1.0]])
