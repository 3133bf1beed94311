"""Scores along a clock, and rounds of which some scores are gone."""

from __future__ import annotations

from typing import Any

from meshtune.evaluation.curves import curves, whole
from meshtune.network.virtual_clock import RoundCost


def test_a_point_of_a_curve_is_the_mean_over_devices_then_over_exams() -> None:
    def scored(round_: int, task: str, devices: list[int], nll: list[float], method: str = "lora:top1") -> Any:
        return {"method": method, "round": round_, "task": task, "devices": devices, "nll": nll}

    clock = [RoundCost(1.0), RoundCost(2.0, sending=3.0), RoundCost(4.0, computing=5.0)]
    scores = [
        scored(2, "a", [0], [1.0, 3.0]),
        scored(1, "a", [0, 1], [4.0]),
        scored(2, "a", [1, 2], [5.0]),
        scored(2, "b", [0, 1, 2], [1.0]),
        scored(2, "b", [0], [9.0], "frozen"),
    ]
    assert curves(scores, {"lora": clock}) == {
        "lora:top1": [
            {"round": 1, "seconds": 3.0, "joules": 3.0, "nll": 4.0},
            {"round": 2, "seconds": 7.0, "joules": 8.0, "nll": (4.0 + 1.0) / 2},
        ]
    }


def scoring(method: str, round_: int, task: str, devices: list[int]) -> dict[str, Any]:
    return {"method": method, "round": round_, "task": task, "devices": devices, "nll": [1.0]}


def test_a_round_of_which_some_scores_are_gone_is_left_out_of_that_methods_curve() -> None:
    """In round 2, the last, both methods answered a and b on two devices; in round 1 one of lora's four is gone."""
    last = [scoring(method, 2, task, [0, 1]) for method in ("lora", "local") for task in "ab"]
    kept = [scoring("local", 1, "a", [0]), scoring("local", 1, "a", [1]), scoring("local", 1, "b", [0, 1])]
    short = [scoring("lora", 1, "a", [0, 1]), scoring("lora", 1, "b", [1])]
    found, notes = whole([*short, *kept, *last], 2)
    assert found == [*kept, *last]
    assert notes == ["some scores after round 1 are gone (lora), as are that round's experts: the curves leave it out"]


def test_what_is_whole_stays_and_what_the_last_round_lacks_says_nothing() -> None:
    scores = [scoring("lora", 1, "a", [0, 1]), scoring("lora", 2, "a", [0, 1]), scoring("gone", 1, "a", [0])]
    assert whole(scores, 2) == (scores, [])
    assert whole([], 0) == ([], [])


def test_methods_that_are_short_in_one_round_share_a_note() -> None:
    last = [scoring(method, 5, "a", [0, 1]) for method in ("x", "y")]
    short = [scoring("x", 1, "a", [0]), scoring("y", 1, "a", [1]), scoring("y", 3, "a", [1])]
    found, notes = whole([*short, *last], 5)
    assert found == last
    assert [note.partition(",")[0] if "(x" not in note else note.split(" are")[0] for note in notes] == [
        "some scores after round 1", "some scores after round 3 are gone (y)",
    ]  # fmt: skip
    assert "(x, y)" in notes[0]


def test_points_ascend_by_round_and_metrics_are_averaged_over_the_exams_that_have_them() -> None:
    clock = [RoundCost(1.0), RoundCost(2.0)]
    scores = [
        {"method": "m", "round": 1, "task": "a", "devices": [0], "nll": [2.0], "acc": [0.0, 1.0]},
        {"method": "m", "round": 0, "task": "a", "devices": [0], "nll": [8.0]},
        {"method": "m", "round": 1, "task": "b", "devices": [0], "nll": [4.0]},
    ]
    assert curves(scores, {"m": clock})["m"] == [
        {"round": 0, "seconds": 1.0, "joules": 0.0, "nll": 8.0},
        {"round": 1, "seconds": 3.0, "joules": 0.0, "nll": 3.0, "acc": 0.5},
    ]
