"""How well a router chooses, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.metrics import log_loss as reference_log_loss

from meshtune.routing.router_metrics import accuracy, confusion, log_loss, merged_accuracy


def test_measures_equal_sklearns() -> None:
    rng = np.random.default_rng(2)
    groups = ["a", "b", "c"]
    truth, chosen = rng.choice(groups, 90).tolist(), rng.choice(groups, 90).tolist()
    gates = rng.dirichlet(np.ones(3), 90)
    assert accuracy(chosen, truth) == accuracy_score(truth, chosen)
    np.testing.assert_array_equal(confusion(groups, chosen, truth), confusion_matrix(truth, chosen, labels=groups))
    assert log_loss(gates, groups, truth) == pytest.approx(reference_log_loss(truth, gates, labels=groups))
    as_one = ["x" if c in "ab" else c for c in chosen], ["x" if t in "ab" else t for t in truth]
    assert merged_accuracy(chosen, truth, [("a", "b")]) == accuracy_score(*as_one)


def test_a_gate_of_nothing_costs_much_but_is_no_infinity() -> None:
    """ln(10^300) is 690.8 nats; the other prompt's gate is a half."""
    found = log_loss(np.array([[1.0, 0.0], [0.5, 0.5]]), ["a", "b"], ["b", "a"])
    assert found == pytest.approx((300 * np.log(10) + np.log(2)) / 2)


def test_groups_alike_count_as_one_and_no_set_touches_another() -> None:
    chosen, truth = ["a", "b", "c", "d", "e"], ["b", "a", "d", "b", "e"]
    assert accuracy(chosen, truth) == 1 / 5
    assert merged_accuracy(chosen, truth, [("a", "b")]) == 3 / 5
    assert merged_accuracy(chosen, truth, [("a", "b"), ("c", "d")]) == 4 / 5
    assert merged_accuracy(chosen, truth, [("a", "b", "c", "d")]) == 1.0


def test_the_true_group_is_the_row() -> None:
    assert confusion(["a", "b"], chosen=["b", "b", "a"], truth=["a", "a", "a"]).tolist() == [[1, 2], [0, 0]]
    with pytest.raises(ValueError, match="longer"):
        confusion(["a", "b"], ["a"], ["a", "b"])
