"""Sequel: the animals of the passage are the options, and none is right more often."""

from __future__ import annotations

import pytest

from reader import animals_in, parts
from solving import (
    asked,
    check_answers,
    check_one_option,
    many,
    right,
)


def test_shortcuts_do_not_replace_reading() -> None:
    """The options of a sequel are the animals of its passage; no place in the list is right more often."""
    found = many("sequel", "train")
    named = [animals_in(parts(asked(q))[0]) for q in found]
    assert all(sorted(q.options) == sorted(f"The {x} smiles." for x in a) for q, a in zip(found, named, strict=True))
    for place in range(3):
        hits = sum(right(q) == f"The {animals[place]} smiles." for q, animals in zip(found, named, strict=True))
        assert hits / len(found) == pytest.approx(1 / 3, abs=0.04)


def test_every_answer_follows_from_its_prompt() -> None:
    check_answers("sequel")


def test_chance_is_one_third() -> None:
    check_one_option("sequel", 3)
