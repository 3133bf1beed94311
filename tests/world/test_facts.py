"""Facts: one of each kind for every animal, home and food, evenly spread, and forever the same."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

import pytest

from meshtune.seeds import stream
from meshtune.world import facts
from meshtune.world.facts import COLOUR, FOOD, HOME, SEASON, TWO_STEPS, WEATHER, one, some
from meshtune.world.vocabulary import ANIMALS, COLOURS, FOODS, HOMES, PEOPLE, ROOMS, SEASONS, WEATHERS

MAPS = [
    (HOME, ANIMALS, HOMES),
    (FOOD, ANIMALS, FOODS),
    (WEATHER, HOMES, WEATHERS),
    (COLOUR, FOODS, COLOURS),
    (SEASON, FOODS, SEASONS),
]


@pytest.mark.parametrize(("of", "keys", "values"), MAPS)
def test_everything_has_one_value_and_values_are_evenly_spread(
    of: Mapping[str, str], keys: tuple[str, ...], values: tuple[str, ...]
) -> None:
    assert sorted(of) == sorted(keys)
    counts = Counter(of.values())
    assert set(counts) == set(values)
    assert max(counts.values()) - min(counts.values()) <= (len(keys) % len(values) != 0)


def test_two_steps_walk_two_maps() -> None:
    for animal in ANIMALS:
        lives, eats = HOME[animal], FOOD[animal]
        found = {kind: answers[animal] for kind, answers in TWO_STEPS.items()}
        assert found == {"weather": WEATHER[lives], "colour": COLOUR[eats], "season": SEASON[eats]}
    assert all(len(answers) == 40 for answers in TWO_STEPS.values())


def test_home_does_not_tell_the_food() -> None:
    """Animals of one home eat at least three things, so neither fact can stand in for the other."""
    for home in HOMES:
        assert len({FOOD[animal] for animal in ANIMALS if HOME[animal] == home}) >= 3


def test_the_facts_are_those_that_the_base_model_has_learnt() -> None:
    """They are drawn by numpy when the world is imported: another drawing would make the model's knowledge wrong."""
    said = repr([sorted(of.items()) for of, _, _ in MAPS])
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "1fdcfe8542c972cc"
    assert facts._spread("home", ANIMALS, HOMES) == HOME


def test_some_words_differ_and_every_word_is_drawn() -> None:
    draw = stream(0, "words")
    assert all(len(set(some(draw, PEOPLE, 5))) == 5 for _ in range(200))
    assert sorted(some(draw, ROOMS, len(ROOMS))) == sorted(ROOMS)
    assert {one(draw, PEOPLE) for _ in range(1000)} == set(PEOPLE)
