"""Crowds: who of the listed animals eats this? Neither their number nor their place says."""

from __future__ import annotations

from collections import Counter

import pytest

from meshtune.world.vocabulary import ANIMALS
from reader import animals_in, parts
from solving import (
    asked,
    check_answers,
    check_words,
    many,
    questions,
    right,
    task,
)


def test_chance_of_crowds_is_naming_one_of_the_listed_animals() -> None:
    found = questions("crowds", "train", 0, 2000)
    named = [animals_in(parts(asked(q))[0]) for q in found]
    assert sum(1 / len(animals) for animals in named) / len(found) == pytest.approx(task("crowds").chance, abs=0.03)
    for place in (0, -1):  # nor does the place in the list say more
        hits = sum(f"the {animals[place]}" == right(q) for animals, q in zip(named, found, strict=True))
        assert hits / len(found) == pytest.approx(task("crowds").chance, abs=0.03)


def test_every_answer_follows_from_its_prompt() -> None:
    check_answers("crowds")


def test_an_answer_is_judged_by_the_word() -> None:
    check_words("crowds")


def test_every_animal_is_an_answer_and_three_to_five_are_listed() -> None:
    found = many("crowds", "train")
    assert {right(q) for q in found} == {f"the {animal}" for animal in ANIMALS}
    listed = Counter(len(animals_in(parts(asked(q))[0])) for q in found)
    assert set(listed) == {3, 4, 5}
