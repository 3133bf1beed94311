from __future__ import annotations

import math

import pytest

from meshtune.report.story import protagonist, story
from told import OWNERS, Scores, everyone, made, right, run, summary


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
        f"(+30.0 points, 95% interval {low:+.1f} to {high:+.1f} over 80 questions).",
        "Single experts with a perfect router (hard_moe) get 85%; proposed is exactly as good as that "
        "(the same on all 80 questions).",
        "All devices together sent 2.00 MB, 20 times less than LoRA (40.0 MB).",
        "Every device is clearly better than the frozen model at every task; "
        "the weakest answers are those on maps, 80%.",
    ):
        assert part in text
    assert "NLL" not in text


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
