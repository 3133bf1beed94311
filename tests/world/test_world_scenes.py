"""Passages: what their sentences say when read again is what is held for true at their end."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from meshtune.seeds import stream
from meshtune.world.scenes import Scene, claim, scene
from meshtune.world.words import ANIMALS
from reader import Story, parts, story


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(stream(seed, "scenes"), 2 + seed % 3, 1 + seed % 6) for seed in range(600)]


def test_the_sentences_tell_who_is_there_and_who_has_what(scenes: list[Scene]) -> None:
    for number, made in enumerate(scenes):
        assert story(parts(made.text)) == Story(made.people, made.holder)
        assert len(made.people) == 2 + number % 3
        assert len(made.sentences) == 2 + number % 6
    assert {len(made.holder) for made in scenes} == {1, 2, 3}


def test_a_claim_holds_exactly_when_it_should(scenes: list[Scene]) -> None:
    kinds: Counter[str] = Counter()
    for seed, made in enumerate(scenes):
        told = story(made.sentences)
        for true in (True, False):
            question = claim(stream(seed, "claim"), made, true)
            assert told.holds(question) is true
            kinds[question.split()[0]] += 1
    assert kinds["Is"] + kinds["Has"] == 1200
    assert min(kinds["Is"], kinds["Has"]) > 500


def test_who_has_it_is_not_told_by_the_words_alone(scenes: list[Scene]) -> None:
    """Person and animal of a wrong claim occur in the passage, and often in one sentence; nobody holds by default."""
    together = 0
    for seed, made in enumerate(scenes):
        words = claim(stream(seed, "claim"), made, False).rstrip("?").split()
        if words[0] == "Has":
            assert words[1] in made.people
            assert words[-1] in made.holder
            together += any(words[1] in sentence and words[-1] in sentence for sentence in made.sentences)
        else:
            assert words[-1] in ANIMALS
            assert words[-1] not in re.findall(r"\w+", made.text)
    assert together > 50


def test_a_scene_is_a_function_of_its_draw() -> None:
    assert scene(stream(1), 3, 6) == scene(stream(1), 3, 6) != scene(stream(2), 3, 6)
