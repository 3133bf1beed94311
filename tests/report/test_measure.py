"""Which measure a run is told in, and what may be claimed of a difference."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.report.measure import claim, headline, than, value_text, verdict
from meshtune.report.scores import Difference
from told import everyone, made


def test_the_measure_is_accuracy_from_twenty_points_on() -> None:
    assert headline(made({"frozen": everyone(0.2, 0.1), "lora": everyone(0.4, 0.3)})[0]) == "acc"
    assert headline(made({"frozen": everyone(0.2, 0.1), "lora": everyone(0.4, 0.275)})[0]) == "nll"
    assert headline(made({"lora": everyone(0.4, 0.3)})[0]) == "nll"
    assert headline(made({"frozen": everyone(0.2, 0.1)}, metric="nll")[0]) == "nll"


def test_verdicts() -> None:
    clear = Difference(0.1, 0.08, 0.12, 40, 2)
    assert (verdict(clear, "acc"), verdict(clear, "nll")) == ("clearly better", "clearly worse")
    less = Difference(-0.1, -0.12, -0.08, 40, 2)
    assert (verdict(less, "acc"), verdict(less, "option_nll")) == ("clearly worse", "clearly better")
    assert verdict(Difference(0.1, -0.02, 0.22, 40, 2), "acc") == "not clearly different"
    assert verdict(Difference(0.1, 0.08, 0.12, 19, 2), "acc") == "not clearly different"
    assert verdict(Difference(0.0, -0.1, 0.1, 19, 2, equal=True), "acc") == "exactly as good"
    assert (
        claim(Difference(0.0, -0.1, 0.1, 1, 1, equal=True), "acc") == "exactly as good (the same on the one question)"
    )
    one = Difference(0.1, math.nan, math.nan, 1, 1, equal=True)
    assert claim(one, "nll") == "not clearly different (+0.100 NLL, from 1 question only)"
    every = Difference(-0.5, math.nan, math.nan, 40, 1, equal=True)
    assert claim(every, "nll") == "clearly better (-0.500 NLL on each of 40 questions)"
    assert (value_text(0.856, "acc"), value_text(0.856, "nll")) == ("86%", "0.86")


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.2), (-0.2, 0.0), (-0.1, 0.3)])
def test_an_interval_that_holds_zero_is_not_clear(low: float, high: float) -> None:
    gap = Difference((low + high) / 2, low, high, 1000, 3)
    for metric in ("acc", "nll"):
        assert verdict(gap, metric) == "not clearly different"


MEASURES = st.sampled_from(["acc", "nll", "rouge_l", "option_nll"])


@given(st.floats(0.001, 0.9), st.floats(0, 0.9), st.integers(1, 40), MEASURES)
def test_turned_round_a_claim_is_the_opposite(mean: float, half: float, questions: int, metric: str) -> None:
    there = verdict(Difference(mean, mean - half, mean + half, questions, 1), metric)
    back = verdict(Difference(-mean, -mean - half, -mean + half, questions, 1), metric)
    if there == "not clearly different":
        assert back == there
        assert half >= mean or questions < 20
    else:
        assert {there, back} == {"clearly better", "clearly worse"}
        assert (there == "clearly better") == (metric in ("acc", "rouge_l"))


def test_points_are_of_a_hundred_and_nll_is_as_it_is() -> None:
    gap = Difference(0.125, 0.05, 0.2, 40, 2)
    assert claim(gap, "acc") == "clearly better (+12.5 points, 95% interval +5.0 to +20.0 over 40 questions)"
    assert claim(gap, "nll") == "clearly worse (+0.125 NLL, 95% interval +0.050 to +0.200 over 40 questions)"
    assert claim(Difference(0.125, 0.05, 0.2, 19, 2), "acc") == (
        "not clearly different (+12.5 points, from 19 questions only)"
    )
    repeated = Difference(0.125, 0.05, 0.2, 40, 2, cores=31)
    assert claim(repeated, "acc").endswith("95% interval +5.0 to +20.0 over 40 questions, 31 of them different)")
    unknown = Difference(0.125, math.nan, math.nan, 40, 2)
    assert claim(unknown, "acc") == "not clearly different (+12.5 points)"
    assert claim(Difference(0.0, -0.1, 0.1, 40, 2, equal=True), "nll") == (
        "exactly as good (the same on all 40 questions)"
    )


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("clearly better (+1)", "clearly better than alone (+1)"),
        ("clearly worse", "clearly worse than alone"),
        ("not clearly different (+1 (x))", "not clearly different from alone (+1 (x))"),
        ("exactly as good (the same)", "exactly as good as alone (the same)"),
    ],
)
def test_what_it_is_compared_to_stands_behind_the_verdict(said: str, sentence: str) -> None:
    assert than(said, "alone") == sentence
