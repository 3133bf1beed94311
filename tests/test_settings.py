"""What every group of settings refuses: unknown keys, numbers out of bounds, truth for a number, text that is none."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshtune.settings import Count, Seed, Settings, Temperature, Within


class Bounds(Settings):
    metres: Annotated[float, Within(0.5, 1e5, "m")] = 1.0
    share: Annotated[float, Within(0.0, 1.0)] = 0.5
    rounds: Count = 1
    seed: Seed = 0
    heat: Temperature = 1.0
    on: bool = False
    either: bool | int | None = None
    size: float | str = 1.0
    names: tuple[str, ...] = ()
    rates: dict[str, float] | None = None
    places: tuple[tuple[float, float], ...] = ()


def fault(**keys: Any) -> str:
    """Return what is wrong with the one wrong key of ``keys``."""
    with pytest.raises(ValidationError) as caught:
        Bounds.model_validate(keys)
    found = {error["msg"].removeprefix("Value error, ") for error in caught.value.errors()}
    assert len(found) == 1
    return found.pop()


def test_settings_are_fixed_and_know_their_keys() -> None:
    made = Bounds(rounds=3)
    with pytest.raises(ValidationError, match="frozen"):
        made.rounds = 4  # type: ignore[misc]
    assert fault(round=3) == "Extra inputs are not permitted"


@given(st.floats(allow_nan=True) | st.integers(-(2**70), 2**70))
def test_a_number_is_taken_within_its_bounds_alone(value: float) -> None:
    for key, low, high in (("metres", 0.5, 1e5), ("share", 0, 1), ("heat", 1e-6, 1e6)):
        try:
            found = getattr(Bounds.model_validate({key: value}), key)
        except ValidationError:
            assert not low <= value <= high
        else:
            assert low <= value <= high
            assert found == value


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"metres": 0.49}, "give 0.5 to 100000 m"),
        ({"metres": 1e6}, "give 0.5 to 100000 m"),
        ({"share": 1.01}, "give 0 to 1"),
        ({"rounds": 0}, "give 1 to 1,000,000,000"),
        ({"rounds": 10**9 + 1}, "give 1 to 1,000,000,000"),
        ({"seed": 2**63}, "give 0 to 9,223,372,036,854,775,807"),
        ({"heat": 0.0}, "give 1e-06 to 1e+06"),
        ({"share": float("nan")}, "Input should be a finite number"),
        ({"share": float("inf")}, "Input should be a finite number"),
    ],
)
def test_bounds_are_told_with_their_unit(keys: dict[str, Any], why: str) -> None:
    assert fault(**keys) == why


def test_bounds_are_included() -> None:
    for keys in ({"metres": 0.5}, {"metres": 1e5}, {"rounds": 1}, {"rounds": 10**9}, {"seed": 0}, {"seed": 2**63 - 1}):
        assert Bounds.model_validate(keys).model_dump().items() >= keys.items()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"metres": True}, "true"),
        ({"rounds": False}, "false"),
        ({"names": True}, "true"),
        ({"names": ["a", True]}, "['a', true]"),
        ({"places": [[0, 1], [True, 2]]}, "[[0, 1], [true, 2]]"),
    ],
)
def test_truth_is_no_number(keys: dict[str, Any], said: str) -> None:
    assert fault(**keys) == f"{said} is not what this key takes: give a number or a name"


def test_truth_is_taken_where_it_is_asked_for() -> None:
    assert Bounds(on=True).on is True
    assert Bounds(either=True).either is True


UNTRUE = "it has a NUL or bytes that are not UTF-8: leave them out"


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "a\udcff"])
def test_text_that_no_file_and_no_terminal_can_hold_is_refused(text: str) -> None:
    for keys in ({"size": text}, {"names": ["a", text]}, {"rates": {text: 1.0}}):
        assert fault(**keys) == UNTRUE
    with pytest.raises(ValidationError, match="leave them out"):
        Bounds.model_validate({"size": "\n" + text})


@pytest.mark.parametrize("text", ["größe 大きさ", "two\nlines", "\x1b", "\U0001f600"])
def test_other_text_is_taken_as_it_is(text: str) -> None:
    made = Bounds.model_validate({"size": text, "names": [text], "rates": {text: 1.0}})
    assert (made.size, made.names, made.rates) == (text, (text,), {text: 1.0})


def test_a_text_has_a_thousand_characters_at_most() -> None:
    assert Bounds.model_validate({"size": "x" * 1000}).size == "x" * 1000
    for keys in ({"size": "x" * 1001}, {"names": ["a", "x" * 1001]}, {"rates": {"x" * 1001: 1.0}}):
        assert fault(**keys) == "it has 1,001 characters: give at most 1,000"
