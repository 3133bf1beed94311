"""Facts of a message are what they have to be, or a PayloadError that quotes little of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import PayloadError
from meshtune.printable import quoted
from meshtune.wire.plain_values import floats, real, text, whole

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, "x" * 9999]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def accepted(check: Callable[[], Any]) -> bool:
    said = ""
    try:
        check()
    except PayloadError as error:
        said = str(error)
    assert len(said) < 250
    return not said


@settings(deadline=None)
@given(ANY, st.integers(-3, 3), st.none() | st.integers(-3, 9))
def test_whole_numbers(value: Any, low: int, high: int | None) -> None:
    is_one = type(value) is int and value >= low and (high is None or value <= high)
    assert accepted(lambda: whole(value, "a thing", low, high)) == is_one


@settings(deadline=None)
@given(ANY)
def test_numbers_and_text(value: Any) -> None:
    number = type(value) in (int, float) and abs(value) < 1 << 1023 and math.isfinite(value)
    assert accepted(lambda: real(value, "a thing")) == number
    assert accepted(lambda: floats([value, 1], "things", 2)) == number
    assert not accepted(lambda: floats([value, 1], "things", 3))
    assert accepted(lambda: text(value, "a thing")) == (isinstance(value, str) and 0 < len(value) <= 256)


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "value",
    ["\x1b[31m" * 999, nested(50_000), 10**6000, {"a": "\u202e"}, b"\x00" * 999],
    ids=["escapes", "nested", "digits", "reordering", "zeros"],
)
def test_what_is_quoted_is_short_and_printable(value: Any) -> None:
    said = quoted(value)
    assert 0 < len(said) <= 100
    assert said.isprintable()
