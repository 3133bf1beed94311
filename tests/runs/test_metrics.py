"""The estimate of pass@k against all ways to hand in k answers, and the names of measures."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.runs.metrics import METRICS, metrics_in, pass_at


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_pass_at_k_is_the_share_of_hands_of_k_with_a_right_answer(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    hands = fmean(any(hand) for hand in combinations(right, k))
    assert pass_at(len(right), sum(right), k) == pytest.approx(hands)


def test_pass_at_one_is_the_mean_and_large_numbers_do_not_overflow() -> None:
    assert pass_at(8, 3, 1) == 3 / 8
    # 1 - prod over the samples that are left, as the paper computes it.
    product = 1.0
    for left in range(200 - 10 + 1, 200 + 1):
        product *= 1 - 100 / left
    assert pass_at(200, 10, 100) == pytest.approx(1 - product)


def test_measures_are_found_in_their_order_and_others_are_not() -> None:
    names = ["pass@10", "answers", "rouge_l", "pass@2", "nll", "pass@0", "pass@x", "task"]
    assert metrics_in(names) == ["nll", "rouge_l", "pass@2", "pass@10"]
    assert metrics_in(reversed(METRICS)) == list(METRICS)
