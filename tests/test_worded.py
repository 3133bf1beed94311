"""Keys that take a number within bounds or one word: what they take stays as it is, all else gets their remedy."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from meshtune.worded import Worded

REMEDY = "give a rate above 0 up to 1, or auto"


class Rate(BaseModel):
    rate: Annotated[float | str, Worded("auto", REMEDY, gt=0, le=1, allow_inf_nan=False)]


def refused(value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Rate(rate=value)
    (error,) = caught.value.errors()
    return str(error["msg"])


@given(st.floats() | st.integers(-3, 3))
def test_numbers_within_bounds_are_taken_as_numbers_or_as_text(value: float) -> None:
    for given_ in (value, str(value), f" {value} "):
        if 0 < value <= 1:
            assert Rate(rate=given_).rate == value
        else:
            assert refused(given_) == f"Value error, {REMEDY}"


def test_the_word_is_taken_as_it_is_written_and_survives_the_round_trip() -> None:
    assert Rate(rate="auto").rate == "auto"
    for made in (Rate(rate="auto"), Rate(rate="0.25")):
        assert Rate.model_validate_json(made.model_dump_json()) == made
    assert Rate(rate="auto").model_dump() == {"rate": "auto"}
    assert Rate(rate="0.25").model_dump() == {"rate": 0.25}


@pytest.mark.parametrize("value", ["Auto", "auto ", "", "fast", "nan", "inf", "1e-400", "0x1", None, [0.5], {"a": 1}])
def test_all_else_gets_the_remedy_alone(value: Any) -> None:
    assert refused(value) == f"Value error, {REMEDY}"
