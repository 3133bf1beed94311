"""Which measure a run is told in, and what may be claimed of a difference."""

from __future__ import annotations

import math

from meshtune.report.measure import claim, headline, value_text, verdict
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
