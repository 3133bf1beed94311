"""Sums: how many are left, as a word; one in four in two steps."""

from __future__ import annotations

from collections import Counter

import pytest

from meshtune.world.vocabulary import NUMBERS
from solving import best_constant, check_answers, check_words, core, many, right, task


def test_every_answer_follows_from_its_prompt() -> None:
    check_answers("sums")


def test_chance_is_what_the_best_constant_answer_reaches() -> None:
    assert best_constant("sums") == pytest.approx(task("sums").chance, abs=0.02)


def test_one_of_four_takes_two_steps() -> None:
    found = many("sums", "train")
    steps = Counter(len(core(q)) - 1 for q in found)  # type: ignore[arg-type]
    assert set(steps) == {1, 2}
    assert steps[2] / len(found) == pytest.approx(0.25, abs=0.05)


def test_answers_are_all_words_from_two_to_fifteen() -> None:
    assert {right(q) for q in many("sums", "train")} == set(NUMBERS[2:16])


def test_an_answer_is_judged_by_the_word() -> None:
    check_words("sums")
