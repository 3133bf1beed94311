from __future__ import annotations

import math
from typing import Any

import pytest

from meshtune.report.format import RateUsed
from meshtune.report.measure import claim, headline, value_text, verdict
from meshtune.report.results_file import Results, parse_results
from meshtune.report.scores import Difference
from meshtune.report.story import own_average, protagonist, story

OWNERS = {"sums": [0, 1], "maps": [2]}
BYTES = {"proposed": 2_000_000, "lora": 40_000_000, "hard_moe": 1_900_000}
Scores = dict[str, dict[str, dict[tuple[int, ...], list[float]]]]


def right(share: float, of: int = 40) -> list[float]:
    """The first questions right, the others wrong."""
    return [1.0] * round(share * of) + [0.0] * (of - round(share * of))


def summary(scores: Scores, sent: dict[str, int] = BYTES, metric: str = "acc", **other: Any) -> str:
    """The story of a run in which ``scores[method][task][devices]`` are the scores of the questions, by device set."""
    results, records = made(scores, sent, metric, **other)
    return story(results, records)


def made(
    scores: Scores, sent: dict[str, int] = BYTES, metric: str = "acc", owners: dict[str, list[int]] = OWNERS
) -> tuple[Results, list[dict[str, Any]]]:
    rows, records = [], []
    for method, tasks in scores.items():
        for task, answers in tasks.items():
            for devices, values in answers.items():
                about = {"method": method, "task": task, "round": 4}
                ids = [str(i) for i in range(len(values))]
                records.append({**about, "devices": list(devices), "questions": ids, metric: values})
                cell = {"metric": metric, "value": sum(values) / len(values), "n": len(values), "stderr": 0.01}
                rows += [{**about, **cell, "device": device, "seed": 0} for device in devices]
    methods = {name: {"bytes": {"values": count}} for name, count in sent.items() if name in scores}
    header = {"groups": owners, "methods": methods}
    return parse_results({"format": "meshtune-results", "version": 1, "header": header, "rows": rows}, "here"), records


def everyone(sums: float, maps: float) -> dict[str, dict[tuple[int, ...], list[float]]]:
    return {"sums": {(0, 1, 2): right(sums)}, "maps": {(0, 1, 2): right(maps)}}


def run(**changes: Any) -> Scores:
    """Three devices, sums on two of them and maps on one. Means over the tasks, each the mean over devices:
    frozen (20 + 10) / 2 = 15; proposed (90 + 80) / 2 = 85; lora (60 + 50) / 2 = 55; hard_moe as proposed; local
    (sums 70, 80, 20: 56.7; maps 10, 10, 80: 33.3) 45, on own tasks (75 + 80) / 2 = 77.5.
    """
    whole: Scores = {
        "frozen": everyone(0.2, 0.1),
        "proposed": everyone(0.9, 0.8),
        "lora": everyone(0.6, 0.5),
        "hard_moe": everyone(0.9, 0.8),
        "local": {
            "sums": {(0,): right(0.7), (1,): right(0.8), (2,): right(0.2)},
            "maps": {(0, 1): right(0.1), (2,): right(0.8)},
        },
    }
    return {name: scores for name, scores in {**whole, **changes}.items() if scores is not None}


def test_every_figure_is_the_one_worked_out_by_hand() -> None:
    # proposed - lora: in each task 12 of 40 questions gain 1, and half an imagined one each way: of 41, 12 more won.
    error = math.sqrt(2 * (13 / 41 - (12 / 41) ** 2) / 41) / 2
    low, high = (100 * (12 / 41 + sign * 1.959964 * error) for sign in (-1, 1))
    text = summary(run())
    for part in (
        "3 devices learnt 2 tasks, 1 to 2 on each, in 4 rounds;",
        "The frozen model answers 15% right.",
        "A device that trains alone reaches 78% on its own task, and 45% over all tasks.",
        "With the exchange (proposed) it reaches 85% over all tasks, clearly better than training alone (+40.0 points",
        ", and 85% on its own.",
        "LoRA averaged every round gets 55%; proposed is clearly better than that "
        f"(+30.0 points, 95% interval {low:+.1f} to {high:+.1f}).",
        "The same experts with a perfect router (hard_moe) get 85%; proposed is exactly as good as that "
        "(the same on all 80 questions).",
        "All devices together sent 2.00 MB, 20 times less than LoRA (40.0 MB).",
        "Every device is clearly better than the frozen model at every task; "
        "the weakest answers are those on maps, 80%.",
    ):
        assert part in text
    assert "NLL" not in text


def test_sharing_a_task_counts_only_the_devices_that_share_it() -> None:
    # Of sums' owners, one alone has 28, the other 32 of 40 right, the mean gap is 0.15: 4 questions gain 1, 4 a half.
    gaps = [1.0] * 4 + [0.5] * 4 + [0.0] * 32 + [1.0, -1.0]  # and one imagined question each way
    middle = sum(gaps) / 42
    half = 1.959964 * math.sqrt(sum((gap - middle) ** 2 for gap in gaps) / 42 / 42)
    better = summary(run())
    assert "Devices that share a task reach 90% on it after the exchange and 75% alone: sharing is clearly better" in (
        better
    )
    assert (
        f"than training alone (+15.0 points, 95% interval {100 * (middle - half):+.1f} to {100 * (middle + half):+.1f})"
        in (better)
    )
    worse = summary(run(proposed=everyone(0.4, 0.8)))
    assert "reach 40% on it after the exchange and 75% alone: sharing is clearly worse than training alone (-35.0" in (
        worse
    )
    alone = {"sums": [0], "maps": [2]}
    assert "share a task" not in summary(run(), owners=alone)


def test_who_is_worse_off_at_its_own_task_is_told() -> None:
    assert "cost an owner" not in summary(run())
    text = summary(run(proposed=everyone(0.75, 0.75)))  # alone device 1 had 80% of sums and device 2 as much of maps
    who = "2 of 3 devices, device 1 (sums, 80% to 75%) most, do worse on their own tasks than alone."
    assert f"cost an owner something: {who}" in text
    one = summary(run(proposed=everyone(0.75, 0.9)))
    assert "something: 1 of 3 devices, device 1 (sums, 80% to 75%), does worse on its own task than alone." in one


def test_the_other_direction_is_told_as_plainly() -> None:
    text = summary(run(proposed=everyone(0.6, 0.5), lora=everyone(0.9, 0.8)))
    assert "LoRA averaged every round gets 85%; proposed is clearly worse than that (-30.0 points" in text
    assert "proposed is clearly worse than that (-30.0" in text.partition("perfect router")[2]
    text = summary(run(proposed=everyone(0.1, 0.1)))
    assert "it reaches 10% over all tasks, clearly worse than training alone" in text


def test_what_is_not_clear_is_not_claimed() -> None:
    # One question of 80 differs.
    text = summary(run(lora=everyone(0.875, 0.8)))
    assert "LoRA averaged every round gets 84%; proposed is not clearly different from that (+1.2 points" in text
    few = {name: {t: {d: v[::8] for d, v in a.items()} for t, a in tasks.items()} for name, tasks in run().items()}
    text = summary(few)
    assert "clearly better" not in text
    assert "not clearly different from training alone (+40.0 points, from 10 questions only)" in text


def test_pairs_that_do_not_beat_the_frozen_model_are_counted() -> None:
    proposed = everyone(0.9, 0.8)
    proposed["maps"] = {(0, 1): right(0.8), (2,): right(0.1)}
    text = summary(run(proposed=proposed))
    assert "In 1 of 6 pairs of device and task, the frozen model is not clearly beaten; " in text
    assert "the weakest answers are those of device 2 on maps, 10%." in text


@pytest.mark.parametrize(
    "sent, words",
    [
        ({"proposed": 10_000, "lora": 24_000}, "sent 10.0 kB, 2.4 times less than LoRA (24.0 kB)."),
        ({"proposed": 24_000, "lora": 10_000}, "sent 24.0 kB, 2.4 times more than LoRA (10.0 kB)."),
        ({"proposed": 10_000, "lora": 10_100}, "sent 10.0 kB, about as much as LoRA (10.1 kB)."),
        ({"proposed": 10_000}, "sent 10.0 kB. Every"),
    ],
)
def test_bytes_against_lora(sent: dict[str, int], words: str) -> None:
    assert words in summary(run(), sent)


def test_a_run_tells_what_it_has() -> None:
    text = summary(run(proposed=None, local=None, hard_moe=None))
    assert "With the exchange (lora) a device reaches 55% over all tasks, clearly better than the frozen model" in text
    assert "alone" not in text
    assert text.count("LoRA") == 0
    text = summary(run(proposed=None, lora=None, hard_moe=None))
    assert text.endswith("78% on its own task, and 45% over all tasks.")
    assert protagonist(made({"frozen": run()["frozen"]})[0]) is None
    text = summary({"frozen": run()["frozen"]})
    assert text.startswith("3 devices learnt 2 tasks")
    missing = run()
    del missing["proposed"]["maps"]  # no average, so nothing to say of it, but no crash either
    assert "With the exchange" not in summary(missing)


def test_what_hardly_moves_accuracy_is_told_in_nll() -> None:
    """Per task, proposed is 1 better than frozen and local is worse: less is better, and the sign follows."""

    def flat(nll: float) -> dict[str, dict[tuple[int, ...], list[float]]]:
        return {task: {(0, 1, 2): [nll + 0.1 * (i % 2) for i in range(40)]} for task in OWNERS}

    scores: Scores = {"frozen": flat(3.0), "proposed": flat(2.0), "lora": flat(1.5), "local": flat(2.5)}
    text = summary(scores, metric="nll")
    assert "No answer is right or wrong, so this is told in NLL per answer token, of which less is better." in text
    assert "The frozen model has 3.05." in text
    assert "it reaches 2.05 over all tasks, clearly better than training alone (-0.500 NLL" in text
    assert "LoRA averaged every round gets 1.55; proposed is clearly worse than that (+0.500 NLL" in text
    assert "%" not in text.replace("95%", "")
    results, records = made(scores, metric="nll")
    other, more = made({"frozen": everyone(0.5, 0.5), "proposed": everyone(0.6, 0.5), "lora": everyone(0.5, 0.5)})
    both = results.model_copy(update={"rows": [*results.rows, *other.rows]})
    text = story(both, [*records, *more])
    assert "Accuracy moved by less than 20 points, so this is told in NLL per answer token, of which less is" in text
    assert "In accuracy, proposed reaches 55% and the frozen model 50%: " in text


def test_a_task_without_right_and_wrong_is_left_out_and_one_that_is_only_tested_is_not_learnt() -> None:
    """The run worked out by hand, beside essays, which only have an NLL, and sums that are tested in another form."""
    results, records = made(run())
    loss = {name: {"essays": {(0, 1, 2): [2.0] * 40}} for name in run()}
    other, more = made(loss, metric="nll")
    header = results.header.model_copy(update={"groups": {**OWNERS, "essays": [0]}, "exams": {}})
    both = results.model_copy(update={"header": header, "rows": [*results.rows, *other.rows]})
    text = story(both, [*records, *more])
    assert "Answers to essays are neither right nor wrong and left out of what follows." in text
    assert "3 devices learnt 3 tasks" in text
    plain = summary(run())
    for sentence in plain.split(". ")[1:]:
        assert sentence in text
    # Tested in another form, everybody has a tenth less right; what a device reaches on its own task stays.
    less = {
        name: {"tested": {who: right(sum(values) / 40 - 0.1) for who, values in tasks["sums"].items()}}
        for name, tasks in run().items()
    }
    another, further = made(less)
    header = results.header.model_copy(update={"exams": {"sums": "sums", "tested": "sums", "maps": "maps"}})
    both = results.model_copy(update={"header": header, "rows": [*results.rows, *another.rows]})
    text = story(both, [*records, *further])
    assert "3 devices learnt 2 tasks" in text
    assert "A device that trains alone reaches 78% on its own task, and " in text
    assert f"With the exchange (proposed) it reaches {100 * (0.9 + 0.8 + 0.8) / 3:.0f}% over all tasks" in text
    assert both.owners("tested") == both.owners("sums") == [0, 1]


def test_the_measure_is_accuracy_from_twenty_points_on() -> None:
    assert headline(made({"frozen": everyone(0.2, 0.1), "lora": everyone(0.4, 0.3)})[0]) == "acc"
    assert headline(made({"frozen": everyone(0.2, 0.1), "lora": everyone(0.4, 0.275)})[0]) == "nll"
    assert headline(made({"lora": everyone(0.4, 0.3)})[0]) == "nll"
    assert headline(made({"frozen": everyone(0.2, 0.1)}, metric="nll")[0]) == "nll"


def test_own_average_is_the_mean_over_tasks_of_owners() -> None:
    results, _ = made(run())
    assert own_average(results, "local", "acc", OWNERS) == pytest.approx((0.75 + 0.8) / 2)
    assert own_average(results, "local", "acc", {"sums": [1]}) == 0.8
    assert own_average(results, "local", "acc", {}) is None
    assert own_average(results, "absent", "acc", OWNERS) is None


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


@pytest.mark.parametrize(("found", "lower"), [(False, "train.lr=auto"), (True, "train.lr=0.01")])
def test_a_device_below_the_frozen_model_is_named_with_what_to_change(found: bool, lower: str) -> None:
    """Device 2 has maps to itself and ends 0.5 above the frozen model there, on each of 40 questions."""
    rising = [2.0 + 0.01 * n for n in range(40)]
    worse = [value + 0.5 + 0.001 * n for n, value in enumerate(rising)]
    better = [value - 0.5 for value in rising]
    everyone_ = (0, 1, 2)
    scores = {
        "frozen": {"sums": {everyone_: rising}, "maps": {everyone_: rising}},
        "proposed": {"sums": {everyone_: better}, "maps": {everyone_: worse}},
    }
    results, records = made(scores, metric="nll")
    assert "At its own task" not in story(results, records)  # an older file: no rate in its header
    cost = results.header.methods["proposed"].model_copy(
        update={"lr": RateUsed(key="train.lr", value=0.03, found=found)}
    )
    header = results.header.model_copy(update={"methods": {"proposed": cost}})
    text = story(results.model_copy(update={"header": header}), records)
    assert "At its own task, maps, device 2 is clearly worse than the frozen model (+0.5" in text
    assert f"run again in another folder with the setting `{lower}`." in text
