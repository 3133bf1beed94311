"""Expressions: computed as Python computes them, refused where they are none, read back from their words."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.seeds import stream
from meshtune.world.expressions import ExpressionError, expression, machine, run, words
from reader import evaluate, follow, steps_of

X = st.integers(-50, 50)
SIGNS = "x0123456789+-*() \n"
SPACES = st.sampled_from(["", "", "", " ", "\t", " \n"])
EXPRESSIONS = st.recursive(
    st.just("x") | st.integers(0, 999_999).map(str) | st.integers(0, 9).map(str),
    lambda inner: (
        st.tuples(inner, SPACES, st.sampled_from("+-*"), SPACES, inner).map("".join)
        | st.tuples(SPACES, inner, SPACES).map(lambda found: f"({''.join(found)})")
    ),
    max_leaves=20,
)
SPOILT = st.tuples(EXPRESSIONS, st.integers(0, 60), st.integers(0, 2), st.text(SIGNS, max_size=2)).map(
    lambda found: found[0][: found[1]] + found[3] + found[0][found[1] + found[2] :]
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "subtract"]), st.integers(2, 9))
    | st.tuples(st.just("multiply"), st.integers(2, 3)),
    min_size=1,
    max_size=12,
)
SIGN = {"add": "+", "subtract": "-", "multiply": "*"}


def value(text: str, x: int) -> int | None:
    try:
        return run(text, x)
    except ExpressionError:
        return None


@settings(deadline=None)
@given(EXPRESSIONS, X)
def test_an_expression_has_the_value_that_python_gives_it(text: str, x: int) -> None:
    assert value(text, x) == evaluate(text, x)


@settings(deadline=None)
@given(SPOILT | st.text(SIGNS, max_size=12), X)
def test_what_python_reads_otherwise_is_refused(text: str, x: int) -> None:
    assert value(text, x) == evaluate(text, x)


@settings(deadline=None)
@given(st.text(max_size=300) | st.text(SIGNS, max_size=300), X)
def test_no_text_raises_anything_but_its_own_error(text: str, x: int) -> None:
    with contextlib.suppress(ExpressionError):
        assert isinstance(run(text, x), int)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", 7),
        (" ( x + 3 ) * 2 - 4\n", 16),
        ("x+3*2", 13),
        ("20-x-3", 10),
        ("20-(x-3)", 16),
        ("007*x", 49),
        ("2*((x))*(x-5)", 28),
        ("999999*999999", 999_998_000_001),
        ("(" * 20 + "x" + ")" * 20, 7),
        ("x" + "+x" * 99 + " ", 700),
    ],
)
def test_expressions_worked_out_by_hand(text: str, expected: int) -> None:
    assert run(text, 7) == expected == evaluate(text, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends too early"),
        (" ", "ends too early"),
        ("x+", "ends too early"),
        ("(x", "not closed"),
        ("((x+1)", "not closed"),
        ("x)", r"goes on behind its end with '\)'"),
        ("()", r"'\)' is not expected"),
        (")x(", r"'\)' is not expected"),
        ("-x", "'-' is not expected"),
        ("x--1", "'-' is not expected"),
        ("x**2", r"'\*' is not expected"),
        ("2x", "goes on behind its end with 'x'"),
        ("xx", "goes on behind its end with 'x'"),
        ("2 3", "goes on behind its end with '3'"),
        ("1234567", "goes on behind its end"),
        ("x+y", "unknown sign at 3"),
        ("X", "unknown sign at 1"),
        ("x/2", "unknown sign at 2"),
        ("1.5", "unknown sign at 2"),
        ("1_0", "unknown sign at 2"),
        ("x+\u0663", "unknown sign at 3"),
        ("\u00b2", "unknown sign at 1"),
        ("x\x00", "unknown sign at 2"),
        ("__import__('os')", "unknown sign at 1"),
        ("x" + "+x" * 100, "201 characters is too long: at most 200"),
        (" " * 201, "201 characters is too long"),
        ("x*" * 10**6 + "x", "too long"),
        ("(" * 21 + "x" + ")" * 21, r"'\(' is not expected"),
        ("(" * 200, r"'\(' is not expected"),
        ("999999*999999*2", r"grows beyond 10\^12"),
        ("(999999*999999*2)*0", r"grows beyond 10\^12"),
        ("0-999999*999999-999999*999999", r"grows beyond 10\^12"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_fault(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        run(text, 7)
    assert evaluate(text[:300], 7) is None


def test_repeated_multiplication_ends_early_and_at_once() -> None:
    for text in ("999999" + "*999999" * 27, "x" + "*x" * 99, "(" * 20 + "x" + "*x)" * 20 + "*x" * 50):
        assert len(text) <= 200
        began = time.process_time()
        with pytest.raises(ExpressionError, match="grows beyond"):
            run(text, 99)
        assert time.process_time() - began < 1
    assert run("x" + "*x" * 99, 1) == 1


@settings(deadline=None)
@given(STEPS, st.integers(-99, 99))
def test_an_expression_computes_its_steps_one_by_one(steps: list[tuple[str, int]], x: int) -> None:
    text = expression(steps)
    expected = follow([(SIGN[kind], number) for kind, number in steps], x)
    assert run(text, x) == expected == evaluate(text, x)
    # A bracket stands only where a sum is multiplied.
    pairs = itertools.pairwise(steps)
    assert text.count("(") == sum(one != "multiply" and other == "multiply" for (one, _), (other, _) in pairs)


@settings(deadline=None)
@given(STEPS)
def test_the_words_say_the_steps(steps: list[tuple[str, int]]) -> None:
    assert steps_of(words(steps)) == [(SIGN[kind], number) for kind, number in steps]


def test_machines_are_drawn_from_everything_that_can_be_said() -> None:
    made = [tuple(machine(stream(seed, "machines"), 2)) for seed in range(3000)]
    numbers = {"add": range(2, 10), "subtract": range(2, 10), "multiply": range(2, 4)}
    said = [(kind, number) for kind, allowed in numbers.items() for number in allowed]
    assert set(made) == {(one, other) for one in said for other in said if one[0] != other[0]}
    assert [len(machine(stream(0), steps)) for steps in range(1, 9)] == list(range(1, 9))
