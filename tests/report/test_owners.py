"""What the exchange does to devices and to their own tasks."""

from __future__ import annotations

import math
from typing import Any

import pytest

from meshtune.report.format import RateUsed
from meshtune.report.owners import harmed, losers, owners_of, weakest
from meshtune.report.story import own_average, story
from told import OWNERS, Scores, everyone, made, right, run, summary


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
        f"than training alone (+15.0 points, 95% interval {100 * (middle - half):+.1f} to {100 * (middle + half):+.1f} "
        "over 40 questions)" in (better)
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


def test_pairs_that_do_not_beat_the_frozen_model_are_counted() -> None:
    proposed = everyone(0.9, 0.8)
    proposed["maps"] = {(0, 1): right(0.8), (2,): right(0.1)}
    text = summary(run(proposed=proposed))
    assert "In 1 of 6 pairs of device and task, the frozen model is not clearly beaten; " in text
    assert "the weakest answers are those of device 2 on maps, 10%." in text


def test_own_average_is_the_mean_over_tasks_of_owners() -> None:
    results, _ = made(run())
    assert own_average(results, "local", "acc", OWNERS) == pytest.approx((0.75 + 0.8) / 2)
    assert own_average(results, "local", "acc", {"sums": [1]}) == 0.8
    assert own_average(results, "local", "acc", {}) is None
    assert own_average(results, "absent", "acc", OWNERS) is None


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


def test_of_one_task_nothing_is_the_weakest_and_of_several_the_worst_cell_is() -> None:
    scores = {"frozen": everyone(0.2, 0.1), "proposed": everyone(0.9, 0.8)}
    results, records = made({name: {"sums": tasks["sums"]} for name, tasks in scores.items()}, owners={"sums": [0]})
    assert weakest(results, records, "acc", "proposed") == ""
    results, records = made(scores)
    every = "Every device is clearly better than the frozen model at every task; "
    assert weakest(results, records, "acc", "proposed") == f"{every}the weakest answers are those on maps, 80%."
    # Of an NLL the highest is the worst; nothing can be paired where the frozen model did not answer.
    loss: Scores = {"proposed": {"sums": {(0, 1): [1.0], (2,): [4.0]}, "maps": {(0, 1, 2): [3.0]}}}
    results, records = made(loss, metric="nll")
    assert weakest(results, records, "nll", "proposed") == "The weakest answers are those of device 2 on sums, 4.00."


def test_only_a_loss_that_shows_in_the_digits_told_is_a_loss() -> None:
    """A quarter of a percent is rounded away, and a device that no longer answers is not counted."""
    local: dict[str, Any] = {"sums": {(0,): right(0.75, 400), (1,): right(0.5, 400)}, "maps": {(2,): right(0.5, 400)}}
    after: dict[str, Any] = {
        "sums": {(0,): right(0.7475, 400), (1,): right(0.49, 400)},
        "maps": {(2,): right(0.4, 400)},
    }
    results, _ = made({"local": local, "proposed": after})
    assert losers(results, "acc", "proposed") == (
        "The exchange can cost an owner something: 2 of 3 devices, device 2 (maps, 50% to 40%) most, do worse on their "
        "own tasks than alone."
    )
    results, _ = made({"local": local, "proposed": {"sums": after["sums"]}})
    told = losers(results, "acc", "proposed")
    assert "1 of 2 devices, device 1 (sums, 50% to 49%), does worse on its own task than" in told


@pytest.mark.parametrize(
    ("devices", "more"), [(2, "as 1 other device is at its own"), (3, "as 2 other devices are at theirs")]
)
def test_how_many_devices_more_ended_below_the_frozen_model(devices: int, more: str) -> None:
    everyone_ = tuple(range(devices))
    rising = [2.0 + 0.01 * n for n in range(40)]
    worse = [value + 0.5 + 0.001 * n for n, value in enumerate(rising)]
    scores = {"frozen": {"sums": {everyone_: rising}}, "proposed": {"sums": {everyone_: worse}}}
    results, records = made(scores, metric="nll", owners={"sums": list(everyone_)})
    cost = results.header.methods["proposed"].model_copy(update={"lr": RateUsed(key="train.lr", value=0.03)})
    header = results.header.model_copy(update={"methods": {"proposed": cost}})
    told = harmed(results.model_copy(update={"header": header}), records, "proposed")
    assert told.startswith("At its own task, sums, device 0 is clearly worse than the frozen model (+0.5")
    assert told.endswith(f"), {more}: run again in another folder with the setting `train.lr=auto`.")
    both = cost.model_copy(update={"common_lr": RateUsed(key="train.lora_lr", value=0.03, found=True)})
    header = results.header.model_copy(update={"methods": {"proposed": both}})
    told = harmed(results.model_copy(update={"header": header}), records, "proposed")
    assert told.endswith(" with the setting `train.lr=auto` and the setting `train.lora_lr=0.01`.")


def test_owners_are_those_of_tasks_with_the_measure() -> None:
    results, _ = made({"frozen": everyone(0.2, 0.1)}, owners={"sums": [0, 1], "maps": [2], "essays": [0]})
    assert owners_of(results, "acc") == {"sums": [0, 1], "maps": [2]}
    assert owners_of(results, "nll") == {}
