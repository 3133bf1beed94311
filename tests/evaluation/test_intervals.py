"""95% intervals: against scipy, against formulas worked out by hand, and how often they hold the truth."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from meshtune.evaluation.intervals import (
    Sample,
    all_equal,
    bounded,
    mean_difference,
    mean_over,
    same_questions,
)

Z = stats.norm.ppf(0.975)


def answers(right: int, count: int) -> Sample:
    return Sample.of([1.0] * right + [0.0] * (count - right))


@pytest.mark.parametrize(
    "right, count", [(0, 1), (1, 1), (0, 5), (5, 5), (3, 5), (1, 50), (25, 50), (50, 50), (7, 1000)]
)
def test_right_and_wrong_answers_of_one_exam_are_wilsons(right: int, count: int) -> None:
    found = mean_over([answers(right, count)], "acc")
    low, high = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert found.value == pytest.approx(right / count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.high > found.low


def test_equal_exams_without_spread_between_them_are_one_large_exam() -> None:
    found = mean_over([answers(3, 20)] * 4, "acc")
    low, high = stats.binomtest(12, 80).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_a_mean_and_its_standard_error_say_as_much_as_the_scores() -> None:
    values = [1.0, 0.0, 0.5, 1.0, 0.25]
    error = float(np.std(values, ddof=1) / math.sqrt(5))
    told, seen = Sample.reported(0.55, error, 5), Sample.of(values)
    assert (told.mean, told.squares) == pytest.approx((seen.mean, seen.squares))
    assert mean_over([Sample.reported(0.55, None, 5)], "acc").low < mean_over([seen], "acc").low  # unknown: the most
    impossible = mean_over([Sample.reported(0.5, 9.0, 5)], "acc")  # a standard error that no scores in [0, 1] have
    assert (impossible.low, impossible.high) == pytest.approx(
        tuple(stats.binomtest(5, 10).proportion_ci(method="wilson")), abs=0.2
    )
    assert 0 <= impossible.low < impossible.high <= 1
    beyond = mean_over([Sample.reported(2.0, 0.1, 10)], "acc")  # nor such a mean: shown as it is
    assert (beyond.low, beyond.value, beyond.high) == pytest.approx((2 - Z * 0.1, 2, 2 + Z * 0.1))


def test_graded_scores_have_a_shorter_interval_than_right_and_wrong_and_one_at_all() -> None:
    halves = mean_over([Sample.of([0.5] * 5)], "rouge_l")
    assert (halves.low, halves.high) == pytest.approx((0.5 - Z**2 / 2 / (5 + Z**2), 0.5 + Z**2 / 2 / (5 + Z**2)))
    graded = mean_over([Sample.of([0.4, 0.6, 0.5, 0.3, 0.7] * 10)], "rouge_l")
    binary = mean_over([answers(25, 50)], "acc")
    assert graded.high - graded.low < 0.5 * (binary.high - binary.low)


def test_nll_keeps_its_standard_error() -> None:
    first, second = Sample.of([1.0, 3.0]), Sample.of([2.0, 2.0, 5.0])
    found = mean_over([first, second], "option_nll")
    error = math.sqrt(2 / 2 + 3 / 3) / 2
    assert (found.value, found.stderr) == pytest.approx((2.5, error))
    assert (found.low, found.high) == pytest.approx((2.5 - Z * error, 2.5 + Z * error))
    assert math.isnan(mean_over([Sample.of([1.0])], "nll").low)
    assert math.isnan(mean_over([Sample.of([0.7] * 3)], "nll").low)  # no spread tells nothing of what has no bounds
    assert [bounded(name) for name in ("nll", "option_nll", "acc", "acc_norm", "rouge_l", "pass@5")] == [False] * 2 + [
        True
    ] * 4


def test_devices_that_answer_the_same_questions_are_not_more_questions() -> None:
    one = answers(3, 10)
    assert same_questions([one] * 7).squares == pytest.approx(one.squares)
    mixed = same_questions([answers(10, 10), answers(5, 10)])  # standard deviations 0 and 1/2: 1/4
    assert (mixed.mean, mixed.squares, mixed.count) == pytest.approx((0.75, 10 / 16, 10))


def test_paired_answers_of_one_exam_are_bonett_and_prices() -> None:
    """Of 20 questions the first alone has 7 right, the second alone 2: p12 = 8 / 22, p21 = 3 / 22."""
    found = mean_difference([[1.0] * 7 + [-1.0] * 2 + [0.0] * 11], "acc")
    half = Z * math.sqrt((8 / 22 + 3 / 22 - (5 / 22) ** 2) / 22)
    assert found.value == pytest.approx(5 / 20)
    assert (found.low, found.high) == pytest.approx((5 / 22 - half, 5 / 22 + half))


def test_no_difference_anywhere_is_not_a_difference_of_exactly_nothing() -> None:
    found = mean_difference([[0.0] * 50], "acc")
    assert (found.value, found.high) == pytest.approx((0.0, Z * math.sqrt(2) / 52))
    assert found.low == -found.high
    six = mean_difference([[0.0] * 50] * 6, "acc")
    assert six.high == pytest.approx(Z * math.sqrt(2) / 302)  # as of one exam of 300 questions
    assert all_equal([[0.0] * 50])
    loss = mean_difference([[-0.5] * 40], "nll")
    assert (loss.value, math.isnan(loss.low)) == (-0.5, True)
    assert all_equal([[-0.5] * 40, [-0.5 + 1e-13]])
    assert not all_equal([[-0.5] * 40, [-0.4]])


def test_nll_differences_of_one_exam_agree_with_scipy() -> None:
    first, second = [1.0, 2.5, 3.0, 2.0], [0.5, 2.0, 3.5, 1.0]
    found = mean_difference([[a - b for a, b in zip(first, second, strict=True)]], "nll")
    assert found.value / found.stderr == pytest.approx(stats.ttest_rel(first, second).statistic)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=12), min_size=1, max_size=5))
def test_an_interval_holds_its_mean_and_stays_within_bounds(exams: list[list[float]]) -> None:
    found = mean_over([Sample.of(values) for values in exams], "acc")
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.01
    gap = mean_difference([[2 * value - 1 for value in values] for values in exams], "acc")
    assert -1 <= gap.low <= gap.value <= gap.high <= 1
    assert gap.high - gap.low > 0.01


def test_questions_of_one_core_are_a_cluster() -> None:
    """G / (G - 1) times the sum over G clusters of squared sums of deviations, over n squared: Liang and Zeger's."""
    values, cores = [1.0, 3.0, 2.0, 6.0, 3.0], ["x", "x", "y", "z", "z"]
    error = math.sqrt(3 / 2 * ((1 + 3 - 6) ** 2 + (2 - 3) ** 2 + (6 + 3 - 6) ** 2)) / 5
    found = Sample.of(values, cores)
    assert (found.count, found.cores, found.stderr) == (5, 3, pytest.approx(error))
    assert mean_over([found], "nll").stderr == pytest.approx(error)
    gap = mean_difference([values, [0.0, 1.0]], "nll", [cores, [1, 2]])
    assert gap.stderr == pytest.approx(math.hypot(error, 1 / 2) / 2)
    assert Sample.of(values, ["x"] * 5).stderr is None
    assert math.isnan(mean_over([Sample.of(values, ["x"] * 5)], "nll").low)


def test_an_accuracy_with_repeated_cores_is_wilsons_of_fewer_questions() -> None:
    """Every core asked twice with the same outcome: 10 of 20 are 5 of 10, but for (G / (G - 1)) / (n / (n - 1))."""
    values, cores = [1.0, 1.0, 0.0, 0.0] * 5, [n // 2 for n in range(20)]
    factor = (10 / 9) / (20 / 19)
    count = 10 / factor
    half = Z * math.sqrt(count / 4 + Z**2 / 4) / (count + Z**2)
    found = mean_over([Sample.of(values, cores)], "acc")
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    told = Sample.of(values, cores)
    assert Sample.reported(told.mean, told.stderr, 20, 10) == told
    always = mean_over([Sample.of([1.0] * 20, cores)], "acc")
    assert always.low == pytest.approx(stats.binomtest(10, 10).proportion_ci(method="wilson").low)
    wide = mean_over([Sample.of([1.0, 0.0] * 3, ["x"] * 6)], "acc")  # a single core: as of one question
    assert wide.high - wide.low == pytest.approx(Z * math.sqrt(1 + Z**2) / (1 + Z**2))


def test_a_difference_with_repeated_cores_is_bonett_and_prices_of_fewer_questions() -> None:
    gaps, cores = [1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0], [n // 2 for n in range(8)]
    deff = Sample.of(gaps, cores).squares / Sample.of(gaps).squares
    assert deff == pytest.approx(2 * (4 / 3) / (8 / 7))
    count = 8 / deff
    centre = count * 0.25 / (count + 2)
    half = Z * math.sqrt(((0.75 * count + 2) / (count + 2) - centre**2) / (count + 2))
    found = mean_difference([gaps], "acc", [cores])
    assert (found.value, found.low, found.high) == pytest.approx((0.25, centre - half, centre + half))
    equal = mean_difference([[0.0] * 50], "acc", [[n % 19 for n in range(50)]])
    assert equal.high == pytest.approx(Z * math.sqrt(2) / 21)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=12), min_size=1, max_size=5))
def test_cores_that_all_differ_change_nothing(exams: list[list[float]]) -> None:
    cores = [[str(n) for n in range(len(values))] for values in exams]
    for metric in ("acc", "nll"):
        same = mean_over([Sample.of(*pair) for pair in zip(exams, cores, strict=True)], metric)
        assert repr(same) == repr(mean_over([Sample.of(values) for values in exams], metric))
        assert repr(mean_difference(exams, metric, cores)) == repr(mean_difference(exams, metric))


@pytest.mark.parametrize("spaces", [[20], [38, 90, 23, 400, 24, 70]])
@pytest.mark.parametrize("metric", ["acc", "nll"])
def test_clustered_intervals_hold_the_truth_where_others_do_not(metric: str, spaces: list[int]) -> None:
    """Fifty questions a task, each a draw from a few cores; the score depends on the core, hardly on the names."""
    source = np.random.default_rng(0)
    hits = []
    for _ in range(600):
        scores, gaps, cores = [], [], []
        for space in spaces:
            drawn, noise = source.integers(space, size=50), source.random((2, 50))
            if metric == "acc":  # a core is nearly always answered right, or nearly never; both methods have 1/2
                easy = source.beta(0.5, 0.5, space)[drawn]
                first, second = (noise[0] < easy) * 1.0, (noise[1] < 1 - easy) * 1.0
            else:  # means 1/2 and 0
                first, second = source.normal(0.5, 0.5, space)[drawn], 0.2 * noise[1] - 0.1
            scores.append(first.tolist())
            gaps.append((first - second).tolist())
            cores.append(drawn.tolist())
        clustered = mean_over([Sample.of(*pair) for pair in zip(scores, cores, strict=True)], metric)
        plain = mean_over([Sample.of(values) for values in scores], metric)
        between = 0.0 if metric == "acc" else 0.5
        pairs = [(clustered, 0.5), (plain, 0.5)]
        pairs += [(mean_difference(gaps, metric, known), between) for known in (cores, None)]
        hits.append([found.low <= truth <= found.high for found, truth in pairs])
    clustered_mean, plain_mean, clustered_gap, plain_gap = np.mean(hits, axis=0)
    assert 0.91 <= min(clustered_mean, clustered_gap) <= max(clustered_mean, clustered_gap) <= 0.98
    assert plain_mean < clustered_mean - 0.03
    assert plain_gap < clustered_gap - 0.03


def draws(chances: list[float], counts: list[int], times: int) -> list[list[Sample]]:
    source = np.random.default_rng(0)
    right = source.binomial(counts, chances, (times, len(counts)))
    return [[answers(int(r), n) for r, n in zip(row, counts, strict=True)] for row in right]


@pytest.mark.parametrize(
    "chances, counts",
    [
        ([0.9], [50]),
        ([0.02] * 6, [50] * 6),
        ([0.5, 0.36, 0.0, 0.0, 0.0, 0.0], [50] * 6),
        ([0.05] * 10, [20] * 10),
        ([0.3] + [0.0] * 6, [5] + [500] * 6),
        ([0.9] * 4, [5, 20, 100, 30]),
    ],
)
def test_the_interval_of_a_mean_over_exams_holds_the_truth_in_nineteen_of_twenty(
    chances: list[float], counts: list[int]
) -> None:
    """Mean ± 1.96 standard errors does in 0.63 to 0.95 of these; a share of 600 draws is uncertain by 0.02."""
    found = [mean_over(samples, "acc") for samples in draws(chances, counts, 600)]
    truth = float(np.mean(chances))
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99


@pytest.mark.parametrize(
    "wins, losses, counts",
    [([0.1], [0.05], [50]), ([0.3] * 6, [0.05] * 6, [50] * 6), ([0.01] * 6, [0.0] * 6, [50] * 6)],
)
def test_the_interval_of_a_difference_holds_the_truth_in_nineteen_of_twenty(
    wins: list[float], losses: list[float], counts: list[int]
) -> None:
    source = np.random.default_rng(0)
    hits = []
    for _ in range(600):
        gaps = []
        for win, loss, count in zip(wins, losses, counts, strict=True):
            won, lost, _ = source.multinomial(count, [win, loss, 1 - win - loss])
            gaps.append([1.0] * won + [-1.0] * lost + [0.0] * (count - won - lost))
        found = mean_difference(gaps, "acc")
        hits.append(found.low <= np.mean(wins) - np.mean(losses) <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.99


def test_wilsons_coverage_is_exact_for_few_questions() -> None:
    """Every outcome of five questions, weighed by its chance: on average over the chances 95%, never under 83%."""
    chances = np.linspace(0.01, 0.99, 99)
    held = np.zeros_like(chances)
    for right, (i, chance) in product(range(6), enumerate(chances)):
        found = mean_over([answers(right, 5)], "acc")
        held[i] += stats.binom.pmf(right, 5, chance) * (found.low <= chance <= found.high)
    assert 0.94 <= held.mean() <= 0.97
    assert held.min() > 0.83
