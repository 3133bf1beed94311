"""Rows that are trained on and asked: found, named, left out, kept or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.data.leakage import without_leaks
from meshtune.data.partition import exam_questions
from meshtune.data.pools import gather
from meshtune.errors import UserError
from meshtune.tasks.base import Question
from meshtune.tasks.same import Marks
from piqa_rows import config, goals, put, row


def test_test_rows_that_are_trained_on_are_refused_with_their_places(tmp_path: Path) -> None:
    rows = [row(n) for n in range(20)]
    data = put(tmp_path, train=[row("a"), *rows, row("b")], test=rows)
    with pytest.raises(UserError) as caught:
        gather(config(data))
    said = str(caught.value)
    assert "20 of 20 test rows of piqa are also training rows of task piqa, 20 of them letter by letter" in said
    assert said.count(f"{data}/piqa/train.jsonl line ") == said.count(f"{data}/piqa/test.jsonl line ") == 2
    pools = gather(config(data, leaked_rows="leave_out", validation=0))  # as the sentence says
    assert goals(pools.train["piqa"]) == {"Cut board a.", "Cut board b."}
    assert pools.facts["piqa"]["leaked"] == {"piqa": 20}
    assert "20 training rows are not trained on: 20 of 20 test rows of piqa ask the same" in pools.notes[0]
    pools = gather(config(data, leaked_rows="keep", validation=0))
    assert len(pools.train["piqa"]) == 22
    assert "20 training rows are kept" in pools.notes[0]


def test_one_row_in_a_hundred_is_left_out_and_two_are_refused(tmp_path: Path) -> None:
    train, test = [row(n) for n in range(50)], [row(n) for n in range(1000, 1100)]
    near = {**test[7], "goal": "cut  BOARD, 1007"}
    data = put(tmp_path, train=[*train, near, near], test=test)
    pools = gather(config(data, validation=0))
    assert len(pools.train["piqa"]) == 50
    assert pools.facts["piqa"] == {
        "validation": 0,
        "repeated": {"train": 1},
        "leaked": {"piqa": 2},
        "train": 50,
        "test": 100,
    }
    assert (
        "2 training rows are not trained on: 1 of 100 test rows of piqa ask the same, 0 of them letter"
        in pools.notes[1]
    )
    put(tmp_path, train=[*train, near, test[8]])
    with pytest.raises(
        UserError, match=r"2 of 100 test rows of piqa are also training rows of task piqa, 1 of them letter"
    ):
        gather(config(data))


def test_what_one_task_learns_is_no_question_of_anothers_exam(tmp_path: Path) -> None:
    def arc(n: int) -> dict[str, Any]:
        choices = {"text": [f"Use saw {n}.", "Wait."], "label": ["A", "B"]}
        return {"id": f"q{n}", "question": f"Cut board {n}.", "choices": choices, "answerKey": "A"}

    put(tmp_path, "piqa", train=[row(n) for n in range(20)], test=[row(n) for n in range(100, 120)])
    data = put(tmp_path, "arc_easy", train=[arc(n) for n in range(200, 220)], test=[arc(n) for n in range(5)])
    for template in ("shared", "own"):
        with pytest.raises(UserError, match="5 of 5 test rows of arc_easy are also training rows of task piqa"):
            gather(config(data, tasks=["piqa", "arc_easy"], template=template))
    assert gather(config(data, tasks=["piqa"])).notes == ()


def test_rows_from_one_template_are_not_near_equal(tmp_path: Path) -> None:
    sums = [{"question": f"What is {a} plus {b}?", "answer": f"#### {a + b}"} for a in range(12) for b in range(12)]
    data = put(tmp_path, "gsm8k", train=sums[::2], test=sums[1::2])
    assert gather(config(data, tasks=["gsm8k"])).notes == ()


def test_what_repeats_a_row_set_aside_is_not_trained_on(tmp_path: Path) -> None:
    data = put(tmp_path, train=[row(n % 20) for n in range(40)], test=[row("x")])
    settings: dict[str, Any] = {"validation": 10}
    pools = gather(config(data, **settings))
    aside = exam_questions(config(data, **settings, eval={"split": "validation"}))["piqa"]
    assert not goals(aside) & goals(pools.train["piqa"])
    assert len(goals(aside) | goals(pools.train["piqa"])) == 20
    assert any("they repeat rows of piqa that are set aside" in note for note in pools.notes)


def test_thousands_of_rows_that_all_repeat_one_are_found_at_once(tmp_path: Path) -> None:
    data = put(tmp_path, train=[row(1)] * 3000, test=[row(1)] * 3000)
    with pytest.raises(UserError, match="3000 of 3000 test rows"):
        gather(config(data))


def asked(name: str, numbers: range | list[int]) -> list[Question]:
    return [
        Question(f"{name}{n}", "t", f"Is {n} even?", ("yes", "no"), n % 2, where=f"{name} line {n}") for n in numbers
    ]


def test_the_policy_decides_at_one_row_in_a_hundred() -> None:
    """Of 200 rows two may be trained on; of 199 none more than one."""
    for size, numbers, refused in (
        (200, [1, 2], False),
        (200, [1, 2, 3], True),
        (199, [1], False),
        (199, [1, 2], True),
    ):
        train, exams = {"a": asked("train", [*numbers, 900])}, {"a": asked("test", range(size))}
        facts: dict[str, Any] = {"a": {}}
        if refused:
            with pytest.raises(UserError, match=f"^{len(numbers)} of {size} test rows of a are also training rows"):
                without_leaks(train, exams, {"a": []}, "refuse", Marks(), facts)
            continue
        left, notes = without_leaks(train, exams, {"a": []}, "refuse", Marks(), facts)
        assert [row.id for row in left["a"]] == ["train900"]
        assert facts == {"a": {"leaked": {"a": len(numbers)}}}
        assert len(notes) == 1


def test_the_worst_pair_of_task_and_exam_is_named_and_the_others_are_counted() -> None:
    train = {"a": asked("a", range(10)), "b": asked("b", range(100, 105))}
    exams = {"x": asked("x", range(20)), "y": asked("y", range(97, 103)), "z": asked("z", range(500, 600))}
    with pytest.raises(UserError) as caught:
        without_leaks(train, exams, {"a": [], "b": []}, "refuse", Marks(), {"a": {}, "b": {}})
    # x: 10 of 20 by a; y: 3 of 6 by b; of equal shares the first
    assert str(caught.value) == (
        "10 of 20 test rows of x are also training rows of task a (and of 1 further pairs of task and exam), 10 of "
        "them letter by letter, for example a line 0 and x line 0; a line 1 and x line 1: give other rows, or set "
        "leaked_rows=leave_out to train without them, leaked_rows=keep to train on them all the same"
    )


def test_rows_set_aside_leak_too_and_what_repeats_them_is_left_out_unless_all_is_kept() -> None:
    """Row 1 is set aside and asked; a second copy of row 2 is trained on while the first is set aside."""
    train, aside = {"a": asked("train", [2, 3])}, {"a": asked("aside", [1, 2])}
    exams = {"x": asked("x", range(1, 2)), "y": asked("y", range(50, 60))}
    for policy, left in (("leave_out", [3]), ("keep", [2, 3])):
        facts: dict[str, Any] = {"a": {}}
        found, notes = without_leaks(train, exams, aside, policy, Marks(), facts)
        assert [row.id for row in found["a"]] == [f"train{n}" for n in left]
        assert facts["a"]["leaked"] == {"x": 1}
        assert ("repeats_validation" in facts["a"]) == (policy == "leave_out")
        assert len(notes) == (2 if policy == "leave_out" else 1)


@given(st.lists(st.integers(0, 12), max_size=12), st.lists(st.integers(0, 12), max_size=12))
def test_what_is_left_is_never_asked_and_nothing_else_is_lost(trained: list[int], tested: list[int]) -> None:
    train, exams = {"a": asked("train", trained)}, {"x": asked("x", tested)}
    left, _ = without_leaks(train, exams, {"a": []}, "leave_out", Marks(), {"a": {}})
    assert [row.id for row in left["a"]] == [f"train{n}" for n in trained if n not in tested]
