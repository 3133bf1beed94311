"""Passages: what their sentences say when read again is what is held for true at their end."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from meshtune.seeds import stream
from meshtune.world.scenes import Passage, scene
from reader import Story, parts, story


@pytest.fixture(scope="module")
def scenes() -> list[Passage]:
    return [scene(stream(seed, "scenes"), 2 + seed % 3, 1 + seed % 6) for seed in range(600)]


def test_the_sentences_tell_who_is_there_and_who_has_what(scenes: list[Passage]) -> None:
    for number, made in enumerate(scenes):
        assert story(parts(made.text)) == Story(made.people, made.holder)
        for happened, holder in enumerate(made.holders):
            assert story(made.sentences[: happened + 2]).holder == holder
        assert len(made.people) == 2 + number % 3
        assert len(made.sentences) == 2 + number % 6
    assert {len(made.holder) for made in scenes} == {1, 2, 3}


def test_an_animal_goes_on_once_at_most(scenes: list[Passage]) -> None:
    for made in scenes:
        gone = Counter(re.findall(r"The (\w+) goes to", made.text))
        assert set(gone) == set(made.holder)
        assert max(gone.values()) <= 2


def test_a_scene_is_a_function_of_its_draw() -> None:
    assert scene(stream(1), 3, 6) == scene(stream(1), 3, 6) != scene(stream(2), 3, 6)
