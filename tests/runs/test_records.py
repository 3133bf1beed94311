"""Lines of a run's logs: what they must have, and of two scorings of the same the later one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.runs.records import check_answers, check_event, check_scoring, distinct

SCORING: dict[str, Any] = {
    "method": "lora", "devices": [0, 2], "task": "sums", "round": 1, "signature": "s", "questions": ["a", "b"],
    "nll": [0.5, 2], "pass@5": [0, 1.0],
}  # fmt: skip
ANSWERS: dict[str, Any] = {"task": "sums", "answers": [["lora", 3, ["two", "three"]]]}
SCORED = {"event": "scored", "seconds": 1, "signature": "s"}


def fault(check: Callable[[dict[str, Any]], None], record: dict[str, Any]) -> str:
    with pytest.raises(ValueError) as caught:
        check(record)
    return str(caught.value)


def test_what_runs_write_is_taken() -> None:
    check_scoring(SCORING)
    check_scoring({**SCORING, "answers": ["x", ["y", "z"]], "further": None})
    check_event({"event": "note", "text": "é", "n": 1})
    check_event({**SCORED, "round": 0, "peak_memory_bytes": 0})
    check_answers(ANSWERS)
    check_answers({"task": "sums", "answers": []})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"task": None}, "it lacks task"),
        ({"method": 3}, "method: input should be a valid string"),
        ({"devices": []}, "devices: list should have at least 1 item after validation, not 0"),
        ({"devices": [0, "1"]}, "devices.1: input should be a valid integer"),
        ({"round": -1}, "round: input should be greater than or equal to 0"),
        ({"round": True}, "round: input should be a valid integer"),
        ({"round": 1 << 41}, f"round: input should be less than or equal to {1 << 40}"),
        ({"questions": ["a"]}, "its lists differ in length"),
        ({"nll": [0.5]}, "its lists differ in length"),
        ({"nll": 0.5}, "nll is no list of numbers"),
        ({"nll": [0.5, True]}, "nll is no list of numbers"),
        ({"pass@5": ["0", 1]}, "pass@5 is no list of numbers"),
        ({"answers": ["x"]}, "its lists differ in length"),
        ({"cores": ["x"]}, "its lists differ in length"),
    ],
)
def test_what_is_no_scoring_is_told_in_one_line(change: dict[str, Any], why: str) -> None:
    record = {key: value for key, value in {**SCORING, **change}.items() if value is not None}
    assert fault(check_scoring, record) == why


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({}, "it lacks event"),
        ({"event": 3}, "event: input should be a valid string"),
        ({"event": "round", "round": -1}, "round: input should be greater than or equal to 0"),
        ({"event": "x", "round": 1 << 41}, f"round: input should be less than or equal to {1 << 40}"),
        ({"event": "x", "peak_memory_bytes": -1}, "peak_memory_bytes: input should be greater than or equal to 0"),
        ({"event": "scored"}, "it lacks seconds or signature"),
        ({**SCORED, "seconds": "1"}, "it lacks seconds or signature"),
        ({**SCORED, "signature": None}, "it lacks seconds or signature"),
        ({**SCORED, "seconds": -0.5}, "its seconds are impossible"),
        ({**SCORED, "seconds": 1e300}, "its seconds are impossible"),
        ({**SCORED, "seconds": float("nan")}, "its seconds are impossible"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_told_in_one_line(record: dict[str, Any], why: str) -> None:
    assert fault(check_event, record) == why


def test_an_answer_is_a_name_a_question_and_texts() -> None:
    for answer in ([3, "lora", ["a"]], ["lora", 3, "a"], [["lora"], 3, ["a"]]):
        assert fault(check_answers, {"task": "sums", "answers": [answer]}) == (
            "an answer is not a name, the number of a question and texts"
        )
    assert fault(check_answers, {"task": "sums", "answers": [["lora", 3]]}).startswith("answers.0: list should have at")
    assert fault(check_answers, {"task": "sums"}) == "it lacks answers"


def test_a_hostile_key_does_nothing_in_a_reason() -> None:
    record = {**SCORING, "devices": ["\x1b[2J"] * 3}
    assert fault(check_scoring, record) == "devices.0: input should be a valid integer"


EXAMS = st.fixed_dictionaries(
    {
        "method": st.sampled_from("ab"),
        "task": st.sampled_from("xy"),
        "round": st.integers(0, 1),
        "signature": st.sampled_from(["s", None]),
        "devices": st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
    }
)


@given(st.lists(EXAMS, max_size=10))
def test_of_two_scorings_of_the_same_the_later_one_counts(exams: list[dict[str, Any]]) -> None:
    records = [{**exam, "nll": [float(number)]} for number, exam in enumerate(exams)]

    def cells(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [
            ((one["method"], one["task"], one["round"], one["signature"], device), one["nll"])
            for one in found
            for device in one["devices"]
        ]

    kept = distinct(records)
    assert dict(cells(kept)) == dict(cells(records))  # a dictionary keeps the last
    assert len(cells(kept)) == len(dict(cells(records)))
    numbers = [one["nll"][0] for one in kept]
    assert numbers == sorted(numbers)
    assert distinct(kept) == kept


def test_a_device_named_twice_in_one_scoring_is_there_once() -> None:
    assert distinct([{**SCORING, "devices": [1, 1]}])[0]["devices"] == [1]
    records = [{**SCORING, "devices": [0, 1, 2]}, {**SCORING, "devices": [1]}, {**SCORING, "devices": [1], "round": 2}]
    assert [(one["devices"], one["round"]) for one in distinct(records)] == [([0, 2], 1), ([1], 1), ([1], 2)]
