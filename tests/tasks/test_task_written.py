"""Tasks whose answers are written: what a row may hold, and how an answer is judged."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.tasks.base import PUBLIC_TEST, EmptyOptionError, Question, Task, TaskRow, shared_prompt


class Capitals(Task):
    """The smallest written task."""

    name = "capitals"
    hub_id = "nobody/capitals"
    splits = PUBLIC_TEST
    fields = ("country", "capitals")
    licence = "none"
    written = True

    def body(self, row: TaskRow) -> str:
        return f"What is the capital of {row['country']}?"

    def own_prompt(self, row: TaskRow) -> str:
        return f"{row['country']}:"

    def options(self, row: TaskRow) -> list[str]:
        return list(row["capitals"])

    def answer(self, row: TaskRow) -> int:
        return 0


class Choice(Capitals):
    written = False


class Poems(Capitals):
    stops = ("\nThe end", "\n\n")

    def check(self, row: TaskRow) -> str:
        return "check"

    def given(self, row: TaskRow) -> str:
        return "given"


def row(*capitals: str) -> dict[str, Any]:
    return {"country": "France", "capitals": list(capitals)}


def test_a_written_question_holds_its_reference_alone() -> None:
    prompt = "Question: What is the capital of France?\nAnswer:"
    assert Capitals().question(row(" Paris ")) == Question("0", "capitals", prompt, ("Paris",), 0, True, True)
    assert Capitals().question(row("Paris"), "own").prompt == "France:"
    assert shared_prompt(" What is the capital of France?\n") == prompt


def test_only_a_written_question_may_have_one_option() -> None:
    assert not Choice().question(row("Paris", "Rome")).written
    with pytest.raises(UserError, match="needs at least two options, this row has 1"):
        Choice().question(row("Paris"))
    for capitals, found in (((), "0 of them"), (("Paris", "Rome"), "2 of them"), (("Paris\nRome",), "several lines")):
        with pytest.raises(UserError, match=f"one reference answer of one line, this row has {found}"):
            Capitals().question(row(*capitals))
    with pytest.raises(UserError, match="one reference answer, this row has 2 of them"):
        Poems().question(row("Paris", "Rome"))
    with pytest.raises(EmptyOptionError):
        Capitals().question(row(" "))


def test_a_written_answer_may_have_several_lines_where_the_task_does_not_stop_with_its_line() -> None:
    question = Poems().question(row("Paris\n  Rome"))
    assert question.options == ("Paris\n  Rome",)
    assert (question.stop, question.check, question.given) == ("\nThe end", "check", "given")


def test_by_default_the_grade_is_the_judgement() -> None:
    task = Capitals()
    questions = [task.question(row(capital)) for capital in ("Paris", "Rome", "Rome")]
    assert task.grade(questions, ["Paris", "Paris", "Rome "]) == [{"acc": 1.0}, {"acc": 0.0}, {"acc": 1.0}]


@pytest.mark.parametrize(("text", "right"), [("Paris", True), (" Paris ", True), ("paris", False), ("", False)])
def test_by_default_a_right_answer_is_the_reference(text: str, right: bool) -> None:
    task = Capitals()
    assert task.judge(task.question(row("Paris")), text) is right
