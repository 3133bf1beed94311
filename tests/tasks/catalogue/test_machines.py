"""Machines: an expression in words, judged by what the answer computes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.tasks import Question
from reader import follow
from solving import (
    HIDDEN,
    best_constant,
    check_answers,
    core,
    many,
    right,
    task,
)


def machine_question(reference: str) -> Question:
    row = {
        "asked": "Ann has a machine that adds three and doubles. What is the machine?",
        "options": [reference],
        "answer": 0,
    }
    return task("machines").question(row)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("(x+3)*2", True),
        (" ( x + 3 ) * 2 ", True),
        ("x*2+6", True),
        ("6+2*x", True),
        ("x+x+3+3", True),
        ("(x*x+3*x)*2-(x-1)*x*2-2*x+6-4*x", True),
        ("x*3", False),
        ("x+3*2", False),
        ("(x+3)*2+0*x", True),
        ("6", False),
        ("x*x", False),
        ("(x+3)*2.", False),
        ("(x+3)*2 is the machine", False),
        ("(x+3)*2)", False),
        ("", False),
        ("adds three and doubles", False),
        ("lambda x: (x+3)*2", False),
        ("(x+3)*2" + " " * 200, False),
        ("(x+3)*2" + "+0" * 100, False),
        ("x*" * 50 + "999999", False),
        ("(" * 50 + "x+3" + ")" * 50 + "*2", False),
    ],
)
def test_machines_are_judged_by_what_they_compute(text: str, accepted: bool) -> None:
    assert task("machines").judge(machine_question("(x+3)*2"), text) is accepted


@settings(deadline=None)
@given(st.text(max_size=300) | st.text("x0123456789+-*() ", max_size=30))
def test_no_answer_stops_the_judge(text: str) -> None:
    assert task("machines").judge(machine_question("(x+3)*2-99"), text) is False


def test_every_answer_follows_from_its_prompt() -> None:
    check_answers("machines")


def test_chance_is_what_the_best_constant_answer_reaches() -> None:
    """Judged by what it computes, so that equal machines are one answer."""

    def computed(question: Question) -> tuple[int, ...]:
        return tuple(follow(core(question), x) for x in HIDDEN)  # type: ignore[arg-type]

    assert best_constant("machines", computed) == pytest.approx(task("machines").chance, abs=0.02)


def test_machines_have_two_or_three_steps() -> None:
    found = many("machines", "train")
    steps = Counter(len(core(q)) for q in found)  # type: ignore[arg-type]
    assert set(steps) == {2, 3}
    assert len({right(q) for q in found}) > 500
