"""Verdicts on ways of reading: there and back as plain values, refused where damaged, and told in sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.model.paths import PLAINEST, READINGS, Paths

NUMBERS = st.floats(1e-3, 1e3)
PATHS = st.builds(
    Paths,
    st.sampled_from(READINGS),
    *[st.booleans()] * 4,
    NUMBERS,
    st.none() | NUMBERS,
    st.booleans(),
    st.none() | st.integers(1, 10**6),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


@given(PATHS)
def test_a_verdict_survives_a_file(paths: Paths) -> None:
    assert Paths.from_json(json.loads(json.dumps(paths.to_json()))) == paths


@pytest.mark.parametrize("name", Paths().to_json())
def test_a_missing_value_is_refused(name: str) -> None:
    data = {key: value for key, value in Paths().to_json().items() if key != name}
    with pytest.raises(ValueError, match=f"^{name} is missing$"):
        Paths.from_json(data)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("read", "sideways", "read or left_out is not known"),
        ("left_out", "lm_head", "read or left_out is not known"),
        *((flag, 1, "a flag is neither true nor false") for flag in ("beside", "threads", "cache", "linear", "whole")),
        ("whole", None, "a flag is neither true nor false"),
        ("scale", "loud", "could not convert string to float"),
        ("reach", "far", "invalid literal for int"),
    ],
)
def test_a_damaged_value_is_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Paths.from_json({**Paths().to_json(), name: value})


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        ({"whole": True}, ["every pass computes the logits of all tokens"]),
        ({"whole": True, "linear": False}, ["every pass computes the logits of all tokens"]),
        ({"linear": False}, ["logits are computed by the model's own code"]),
        ({"read": "padded"}, ["rows are padded to one length"]),
        ({"read": "alone"}, ["rows are read one at a time"]),
        ({"beside": False}, ["options are scored one row each"]),
        ({"reach": 77}, ["rows are cut to 77 tokens"]),
        ({"threads": False}, ["passes run one after another"]),
        ({"cache": False}, ["written answers are recomputed in full for every token"]),
        ({"scale": 2.0, "cap": 3.0, "left_out": ("a",)}, []),
    ],
)
def test_every_quick_way_that_is_not_taken_is_told_in_one_sentence(change: dict[str, Any], begins: list[str]) -> None:
    said = replace(Paths(), **change).notes()
    assert len(said) == len(begins)
    assert all(one.startswith(start) for one, start in zip(said, begins, strict=True))


def test_the_plainest_way_takes_none_of_them() -> None:
    assert len(PLAINEST.notes()) == 5
    assert Paths().notes() == []
