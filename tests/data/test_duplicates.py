"""What is said of one split: repeats, equal options, and rows that are no questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshtune.data.duplicates import counted, example
from meshtune.data.pools import gather
from meshtune.tasks.base import Question
from meshtune.tasks.same import Marks
from piqa_rows import config, put, row


def test_repeats_and_equal_options_are_counted(tmp_path: Path) -> None:
    train = [*(row(n) for n in range(20)), row(3), row(4, label=1)]
    data = put(tmp_path, train=train, test=[row("x", sol1="Use saw.", sol2="Use saw.", label=1), row("y")])
    pools = gather(config(data, validation=0))
    assert pools.facts["piqa"]["repeated"] == {"train": 2}
    assert pools.facts["piqa"]["equal_options"] == 1
    first, second = pools.notes
    assert "2 of 22 training rows repeat another, 1 of them with another answer" in first
    assert f"{data}/piqa/train.jsonl line 4 and {data}/piqa/train.jsonl line 21" in first
    assert "1 of 2 test rows have equal options, the first at" in second


def question(number: int, prompt: str, options: tuple[str, ...] = ("yes", "no"), answer: int = 0) -> Question:
    return Question(str(number), "t", prompt, options, answer, where=f"line {number}")


def test_a_repeat_is_named_beside_the_first_and_two_of_them_are_shown() -> None:
    rows = [question(n, f"Is {n // 3} even?", answer=int(n == 4)) for n in range(9)]
    facts: dict[str, Any] = {}
    assert counted("mine", "train", rows, {}, Marks(), facts) == [
        "task mine: 6 of 9 training rows repeat another, 1 of them with another answer: for example line 0 and line 1; "
        "line 0 and line 2"
    ]
    assert facts == {"repeated": {"train": 6}}


def test_options_in_another_order_are_the_same_question_with_the_same_answer() -> None:
    rows = [question(0, "Even?", ("yes", "no"), 0), question(1, "even", ("No.", "Yes."), 1)]
    (note,) = counted("mine", "test", rows, {}, Marks(), {})
    assert note == "task mine: 1 of 2 test rows repeat another: for example line 0 and line 1"


def test_rows_that_are_no_questions_are_counted_by_what_they_are() -> None:
    facts: dict[str, Any] = {"left_out": {"test": {"odd": 9}}}
    rows = [question(n, f"Is {n} even?") for n in range(4)]
    assert counted("mine", "train", rows, {"of other tasks": 5, "empty": 1}, Marks(), facts) == [
        "task mine: 5 of 9 training rows are left out: of other tasks",
        "task mine: 1 of 5 training rows are left out: empty",
    ]
    assert facts == {"left_out": {"test": {"odd": 9}, "train": {"of other tasks": 5, "empty": 1}}}


def test_equal_options_are_told_of_questions_that_are_asked() -> None:
    rows = [question(0, "Even?"), question(1, "Odd?", ("a", "b", "a")), question(2, "Prime?", ("a", "a"))]
    for split, said in (
        ("train", []),
        ("test", ["2 of 3 test rows have equal options, the first at line 1: where the"]),
    ):
        facts: dict[str, Any] = {}
        notes = counted("mine", split, rows, {}, Marks(), facts)
        assert [note.startswith(f"task mine: {part}") for note, part in zip(notes, said, strict=True)] == [True] * len(
            said
        )
        assert facts == ({"equal_options": 2} if said else {})


def test_nothing_is_said_of_a_split_without_any_of_these() -> None:
    facts: dict[str, Any] = {}
    assert counted("mine", "test", [question(n, f"Is {n} even?") for n in range(4)], {}, Marks(), facts) == []
    assert facts == {}


def test_examples_are_pairs_of_places() -> None:
    pairs = [(question(n, "a"), question(n + 10, "a")) for n in range(3)]
    assert example(pairs, 1) == "line 0 and line 10"
    assert example(pairs, 9) == "line 0 and line 10; line 1 and line 11; line 2 and line 12"
