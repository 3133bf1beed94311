"""What a run's rows are before it starts: set aside, drawn for testing, leaked, repeated, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.config.config_file import validate
from meshtune.data.partition import deal, exam_questions
from meshtune.data.pools import gather
from meshtune.errors import UserError
from meshtune.tasks.same import asked
from piqa_rows import config, goals, put, row


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


def test_the_rows_that_stay_are_in_the_order_that_they_would_have_had(tmp_path: Path) -> None:
    test = [row(n) for n in range(1000, 1100)]
    data = put(tmp_path, train=[*(row(n) for n in range(50)), test[3]], test=test)
    whole = [q.asked for q in gather(config(data, leaked_rows="keep")).train["piqa"]]
    rest = [q.asked for q in gather(config(data)).train["piqa"]]
    assert rest == [goal for goal in whole if goal != "Cut board 1003."]


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
