"""Routers against scikit-learn's discriminant analysis and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from clouds import K, clouds, exact, pooled_covariance
from meshtune.errors import UserError
from meshtune.routing.features import Features
from meshtune.routing.router_metrics import accuracy
from meshtune.routing.routers import CosineRouter, OracleRouter, WhitenedRouter, make_router
from meshtune.routing.statistics import summarise


class Shrunk(BaseEstimator):
    """Our S' as scikit-learn's covariance estimator; it is given each class's rows or the whole set's residuals."""

    def __init__(self, covariance: np.ndarray) -> None:
        self.covariance = covariance

    def fit(self, x: np.ndarray) -> Shrunk:
        self.covariance_ = self.covariance
        return self


@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_the_whitened_score_is_sklearns_discriminant(shrinkage: float) -> None:
    """Scores equal LDA's decision function (lsqr, uniform priors, our S') to 1e-8 when both are centred over groups."""
    data = clouds()
    s = pooled_covariance(data)
    shrunk = (1 - shrinkage) * s + shrinkage * np.diag(np.diag(s))
    x, y = np.concatenate(list(data.values())), [g for g, rows in data.items() for _ in rows]
    lda = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 4] * 4, covariance_estimator=Shrunk(shrunk)).fit(x, y)
    query = np.random.default_rng(9).standard_normal((50, K)) + x.mean(axis=0)
    theirs = lda.decision_function(query)
    ours = WhitenedRouter(exact(data), shrinkage).scores(Features(query))
    ours, theirs = (v - v.mean(axis=1, keepdims=True) for v in (ours, theirs))
    assert np.abs(ours - theirs).max() <= 1e-8 * np.abs(theirs).max()


def test_two_sources_of_a_group_are_one_source_of_their_prompts() -> None:
    data = clouds(3)
    halves = {g: [summarise(x[: len(x) // 3], K), summarise(x[len(x) // 3 :], K)] for g, x in data.items()}
    query = Features(np.concatenate(list(data.values())))
    one, two = WhitenedRouter(exact(data)), WhitenedRouter(halves)
    np.testing.assert_allclose(two.scores(query), one.scores(query), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["whitened", "top1", "cosine"])
def test_gates_are_shares_and_the_order_of_arrival_is_nothing(name: str) -> None:
    data = clouds()
    query = Features(np.concatenate(list(data.values())))
    router = make_router(name, exact(data))
    backwards = make_router(name, dict(reversed(list(exact(data).items()))))
    gates = router.gates(query)
    np.testing.assert_allclose(gates.sum(axis=1), 1)
    assert (gates >= 0).all()
    np.testing.assert_array_equal(gates.argmax(axis=1), router.scores(query).argmax(axis=1))
    np.testing.assert_allclose(gates, backwards.gates(query), atol=1e-9)
    assert router.groups == tuple(sorted(data))


def test_temperature_softens_and_top1_decides() -> None:
    data = clouds()
    query = Features(np.concatenate(list(data.values())))
    warm, cold = (WhitenedRouter(exact(data), temperature=t) for t in (8.0, 1e-3))
    np.testing.assert_allclose(warm.gates(query), np.exp(log_softmax(warm.scores(query) / 8, axis=1)), rtol=1e-9)
    top = WhitenedRouter(exact(data), top1=True).gates(query)
    assert set(np.unique(top)) == {0.0, 1.0}
    np.testing.assert_allclose(cold.gates(query), top, atol=1e-3)


def test_whitening_tells_apart_what_cosines_cannot() -> None:
    """Groups that differ in a quiet direction under a huge common mean: the case of language models' hidden states."""
    rng = np.random.default_rng(1)
    spread = np.r_[np.full(K - 4, 5.0), np.full(4, 0.05)]
    step = np.zeros((3, K))
    step[np.arange(3), K - 1 - np.arange(3)] = 0.5
    draw = {f"t{g}": 100 + step[g] + rng.standard_normal((80, K)) * spread for g in range(3)}
    test = np.concatenate([100 + step[g] + rng.standard_normal((50, K)) * spread for g in range(3)])
    truth = [f"t{g}" for g in range(3) for _ in range(50)]
    right = {}
    for name in ("whitened", "cosine"):
        router = make_router(name, exact(draw))
        right[name] = accuracy([router.groups[i] for i in router.scores(Features(test)).argmax(axis=1)], truth)
    assert right["whitened"] > 0.98
    assert right["cosine"] < 0.6


def test_cosine_by_hand() -> None:
    sources = {"a": [summarise(np.array([[1.0, 0.0]]))], "b": [summarise(np.array([[1.0, 1.0]]))]}
    scores = CosineRouter(sources).scores(Features(np.array([[0.0, 2.0], [3.0, 0.0]])))
    np.testing.assert_allclose(scores, [[0, np.sqrt(0.5)], [1, np.sqrt(0.5)]], atol=1e-12)


def test_the_oracle_is_never_wrong() -> None:
    gates = OracleRouter(["b", "a"]).gates_for(["a", "b", "b"])
    np.testing.assert_array_equal(gates, [[1, 0], [0, 1], [0, 1]])
    with pytest.raises(UserError, match="knows no group c"):
        OracleRouter(["a"]).gates_for(["c"])


def test_constant_features_do_not_break_the_inverse() -> None:
    """Groups of one prompt have no spread at all; the nearer mean wins."""
    router = WhitenedRouter({"a": [summarise(np.ones((1, 4)))], "b": [summarise(np.zeros((1, 4)))]})
    gates = router.gates(Features(np.array([[1.0, 1.0, 0.9, 1.0], [0.2, 0.1, 0.0, 0.3]])))
    np.testing.assert_allclose(gates, [[1, 0], [0, 1]], atol=1e-6)
