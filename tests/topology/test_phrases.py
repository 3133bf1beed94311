"""How figures read in sentences."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.topology.phrases import figure, listed, sized, watts

UNITS = {"W": 1.0, "mW": 1e-3, "µW": 1e-6, "nW": 1e-9}


@pytest.mark.parametrize(
    "ids, most, text",
    [
        ([4], 6, "4"),
        ([4, 7], 6, "4 and 7"),
        ([1, 2, 3, 4, 5, 6], 6, "1, 2, 3, 4, 5 and 6"),
        ([1, 2, 3, 4, 5, 6, 7], 6, "1, 2, 3, 4, 5 and 2 more"),
        ([1, 2, 3, 4], 3, "1, 2 and 2 more"),
    ],
)
def test_ids_are_listed_as_a_person_does(ids: list[int], most: int, text: str) -> None:
    assert listed(ids, most) == text


@given(st.lists(st.integers(0, 999), min_size=1, max_size=30), st.integers(2, 9))
def test_no_id_is_lost_from_a_list_that_is_cut(ids: list[int], most: int) -> None:
    shown, more, _ = listed(ids, most).partition(" more")
    numbers = [int(number) for number in re.findall(r"\d+", shown)]
    left = numbers.pop() if more else 0
    assert numbers == ids[: len(ids) - left]
    assert len(numbers) + bool(more) <= most
    assert bool(more) == (len(ids) > most)


def test_sizes_of_clusters_in_words() -> None:
    assert sized([[1]]) == sized([[1], [2]]) == "1 device"
    assert sized([[1, 2], [3, 4]]) == "2 devices"
    assert sized([[1, 2, 5], [3], [4, 6]]) == "1 to 3 devices"


def test_powers_by_hand() -> None:
    powers = [64.0, 1.0, 0.9996, 0.01, 1e-3, 2.5e-5, 1e-6, 4e-8, 1.2345e-9, 0.0, math.inf]
    assert [watts(power) for power in powers] == [
        "64 W",
        "1 W",
        "1 W",
        "10 mW",
        "1 mW",
        "25 µW",
        "1 µW",
        "40 nW",
        "1.23 nW",
        "0 nW",
        "more than any power",
    ]
    assert [figure(value) for value in (0.1, 0.01239, 1.0, 0.0)] == ["0.1", "0.0124", "1", "0"]


@given(st.floats(1e-9, 1e3))
def test_a_power_is_within_half_of_its_third_digit(power: float) -> None:
    number, unit = watts(power).split()
    assert float(number) * UNITS[unit] == pytest.approx(power, rel=0.00501)
    assert float(number) >= 1
    assert unit == "W" or float(number) < 1000
