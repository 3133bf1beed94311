"""Retrieval by embeddings worked out by hand, what it needs on the air, and every router against its name."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from embeddings import announced, far, seen
from meshtune.errors import UserError
from meshtune.routing.retrieval import RetrievalRouter
from meshtune.routing.routers import make_router
from meshtune.routing.statistics import summarise


def test_the_nearest_centred_mean_by_scipys_cosine() -> None:
    data = far()
    router = make_router("retrieval", {group: [announced(x)] for group, x in data.items()})
    query = np.concatenate(list(data.values()))
    means = np.stack([x.mean(axis=0) for x in data.values()])
    centre = means.mean(axis=0)
    expected = 1 - cdist(query - centre, means - centre, "cosine")
    np.testing.assert_allclose(router.scores(seen(query)), expected, atol=1e-9)
    gates = router.gates(seen(query))
    np.testing.assert_array_equal(gates, np.eye(3)[expected.argmax(axis=1)])
    truth = np.concatenate([np.full(len(x), g) for g, x in enumerate(data.values())])
    assert (gates.argmax(axis=1) == truth).mean() > 0.98


def test_by_hand() -> None:
    """Means (1, 0) and (5, 2): the centre is (3, 1), so that what counts is the side of a line through it."""
    sources = {"b": [announced(np.array([[5.0, 2.0]]))], "a": [announced(np.array([[0.0, 0.0], [2.0, 0.0]]))]}
    router = RetrievalRouter(sources)
    assert router.groups == ("a", "b")
    side = np.array([-2.0, -1.0]) / np.sqrt(5)
    scores = router.scores(seen(np.array([[2.0, 1.0], [3.0, 4.0], [3.0, 1.0]])))
    np.testing.assert_allclose(scores[:2], [[-side[0], side[0]], [side[1], -side[1]]], atol=1e-12)
    np.testing.assert_array_equal(scores[2], [0.0, 0.0])


def test_several_sources_of_a_group_count_by_their_prompts() -> None:
    data = far()
    halves = {group: [announced(x[:7]), announced(x[7:])] for group, x in data.items()}
    whole = {group: [announced(x)] for group, x in data.items()}
    query = seen(np.concatenate(list(data.values())))
    found, expected = (RetrievalRouter(sources).scores(query) for sources in (halves, whole))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_group_known_alone_answers_everything() -> None:
    router = RetrievalRouter({"a": [announced(np.ones((2, 3)))]})
    np.testing.assert_array_equal(router.gates(seen(np.array([[1.0, 1.0, 1.0], [4.0, 0.0, 1.0]]))), [[1.0], [1.0]])


def test_without_announced_embeddings_the_remedy_is_named() -> None:
    plain = summarise(np.ones((2, 3)))
    with pytest.raises(UserError, match=r"announced none: start a new run with retrieval in router\.also"):
        make_router("retrieval", {"a": [announced(np.ones((2, 3)))], "b": [plain]})
