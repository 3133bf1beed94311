"""Animals: two facts of the world, one behind the other; the answer is one word."""

from __future__ import annotations

from collections import Counter

import pytest

from meshtune.world.vocabulary import ANIMALS, COLOURS, SEASONS, WEATHERS
from solving import best_constant, check_answers, check_words, core, many, right, task


def test_every_answer_follows_from_its_prompt() -> None:
    check_answers("animals")


def test_chance_is_what_the_best_constant_answer_reaches() -> None:
    assert best_constant("animals") == pytest.approx(task("animals").chance, abs=0.02)


def test_each_kind_is_asked_as_often_and_answered_by_words_of_its_own() -> None:
    found = many("animals", "train")
    kinds = Counter(core(q)[1] for q in found)  # type: ignore[index]
    words = {kind: {right(q) for q in found if core(q)[1] == kind} for kind in kinds}  # type: ignore[index]
    assert words == {"weather": set(WEATHERS), "colour": set(COLOURS), "season": set(SEASONS)}
    for count in kinds.values():
        assert count / len(found) == pytest.approx(1 / 3, abs=0.06)
    assert {core(q)[0] for q in found} == set(ANIMALS)  # type: ignore[index]


def test_an_answer_is_judged_by_the_word() -> None:
    check_words("animals")
