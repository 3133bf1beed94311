"""What a run's rows are before it starts: set aside, drawn for testing, leaked, repeated, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.config.run_config import RunConfig, validate
from meshtune.data.partition import deal, exam_questions
from meshtune.data.pools import gather
from meshtune.errors import UserError
from meshtune.tasks.same import asked


def row(n: int | str, **change: Any) -> dict[str, Any]:
    return {"goal": f"Cut board {n}.", "sol1": f"Use saw {n}.", "sol2": f"Use spoon {n}.", "label": 0, **change}


def put(folder: Path, task: str = "piqa", **splits: Sequence[Any]) -> Path:
    (folder / task).mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        (folder / task / f"{split}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def config(data: Path, **settings: Any) -> RunConfig:
    return validate({"tasks": ["piqa"], "data": str(data), **settings}, "test")


def goals(questions: Sequence[Any]) -> set[str]:
    return {question.asked for question in questions}


@pytest.mark.parametrize(
    ("rows", "given", "aside"),
    [(60, None, 6), (9, None, 0), (1500, None, 100), (1000, None, 100), (60, 0, 0), (60, 59, 59)],
)
def test_a_share_of_the_training_rows_is_set_aside_with_a_cap(
    tmp_path: Path, rows: int, given: int | None, aside: int
) -> None:
    data = put(tmp_path, train=[row(n) for n in range(rows)], test=[row("x")])
    settings = {} if given is None else {"validation": given}
    pools = gather(config(data, **settings))
    assert pools.facts == {"piqa": {"validation": aside, "train": rows - aside, "test": 1}}
    assert len(pools.train["piqa"]) == rows - aside
    assert pools.notes == ()
    if aside:
        chosen = exam_questions(config(data, **settings, eval={"split": "validation", "questions": 2000}))["piqa"]
        assert len(chosen) == aside
        assert not goals(chosen) & goals(pools.train["piqa"])


def test_no_row_may_be_left_and_none_may_be_set_aside(tmp_path: Path) -> None:
    data = put(tmp_path, train=[row(n) for n in range(6)], test=[row("x")])
    with pytest.raises(UserError, match="task piqa: 0 training rows are left for 1 devices after 6 were set aside"):
        deal(config(data, validation=6))
    with pytest.raises(UserError, match="task piqa: no validation questions: set validation above 0"):
        gather(config(data, eval={"split": "validation"}))
    assert len(exam_questions(config(data, validation=1, eval={"split": "validation"}))["piqa"]) == 1


@pytest.mark.parametrize("source", ["folder", "file"])
def test_a_task_without_a_test_split_gets_one_by_the_seed(tmp_path: Path, source: str) -> None:
    data = put(tmp_path, train=[row(n // 2, sol1=f"Use saw {n}.") for n in range(60)])
    where = data if source == "folder" else data / "piqa" / "train.jsonl"
    pools = gather(config(where))
    tested, trained = pools.exams["piqa"], pools.train["piqa"]
    assert pools.facts["piqa"] == {"validation": 4, "train": 44, "test": 12, "test_from_train": True}
    assert not goals(tested) & goals(trained)
    assert [note for note in pools.notes if "no test split: 12 of its 60 training rows" in note] == list(pools.notes)
    again = exam_questions(config(where, eval={"questions": 500}))["piqa"]
    assert [q.id for q in again] == [q.id for q in tested]
    other = gather(config(where, seed=1))
    assert goals(other.exams["piqa"]) != goals(tested)
    # settings are chosen on rows that are neither trained on nor asked
    chosen = exam_questions(config(where, eval={"split": "validation"}))["piqa"]
    assert not goals(chosen) & goals(tested)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_rows_that_ask_the_same_are_never_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], seed: int
) -> None:
    rows = [row(n, sol1=f"Use saw {at}.", goal=f"Cut board {n}{'?' * (at % 3)}") for at, n in enumerate(numbers)]
    data = put(tmp_path_factory.mktemp("cut"), train=rows)
    if len(set(numbers)) == 1:
        with pytest.raises(UserError, match="rows that all ask the same, and there is no test split: give a test file"):
            gather(config(data, seed=seed))
        return
    pools = gather(config(data, seed=seed, validation=0))
    tested, trained = pools.exams["piqa"], pools.train["piqa"]
    assert len(tested) + len(trained) == len(numbers)
    assert tested
    assert trained
    assert not {asked(q) for q in tested} & {asked(q) for q in trained}


def test_a_file_of_its_own_is_still_tested_on_what_the_source_has(tmp_path: Path) -> None:
    data = put(tmp_path / "data", train=[row(1)], test=[row("x")])
    mine = put(tmp_path / "mine", train=[row(n) for n in range(20)]) / "piqa" / "train.jsonl"
    pools = gather(config(data, tasks=[{"task": "piqa", "train": str(mine)}]))
    assert goals(pools.exams["piqa"]) == {"Cut board x."}
    assert pools.facts["piqa"]["train"] == 18


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


def test_the_rows_that_stay_are_in_the_order_that_they_would_have_had(tmp_path: Path) -> None:
    test = [row(n) for n in range(1000, 1100)]
    data = put(tmp_path, train=[*(row(n) for n in range(50)), test[3]], test=test)
    whole = [q.asked for q in gather(config(data, leaked_rows="keep")).train["piqa"]]
    rest = [q.asked for q in gather(config(data)).train["piqa"]]
    assert rest == [goal for goal in whole if goal != "Cut board 1003."]


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


@pytest.mark.slow
def test_the_real_tasks_have_no_leak(real_data: Path) -> None:
    tasks = ["boolq", "piqa", "social_i_qa", "hellaswag", "arc_easy", "arc_challenge", "scienceqa", "gsm8k"]
    more = [{"task": "mbpp", "also": ["openai_humaneval"]}, "dolly_open_qa"]
    pools = gather(config(real_data, tasks=[*tasks, *more]))
    assert not any("leaked" in facts or "repeats_validation" in facts for facts in pools.facts.values())
    assert {name: facts["repeated"] for name, facts in pools.facts.items() if "repeated" in facts} == {
        "dolly_open_qa": {"train": 1, "test": 1}
    }
    assert {name for name, facts in pools.facts.items() if "equal_options" in facts} == {"social_i_qa"}
    assert pools.facts["mbpp"]["validation"] == 37


@pytest.mark.slow
def test_generated_tasks_have_neither_leak_nor_repeat() -> None:
    names = ["claims", "sequel", "sums", "crowds", "animals", "machines"]
    pools = gather(validate({"tasks": names}, "test"))
    assert pools.notes == ()
    assert pools.facts == {name: {"validation": 100, "train": 1900, "test": 500} for name in names}
