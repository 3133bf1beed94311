"""Word sums: people own, find, lose and hand over animals."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from meshtune.world.facts import one, some
from meshtune.world.vocabulary import ANIMALS, NUMBERS, PEOPLE, plural

MORE = ("buys", "finds")
LESS = ("loses", "sells")
MOST = 15


@dataclass(frozen=True)
class Sum:
    """A word sum.

    Attributes:
        sentences: the text; the first gives the start, each other one changes the number.
        numbers: how many the person has after each sentence.
        person: whose animals are counted.
        animals: what is counted, in the plural.
        core: what identifies the sum: the numbers, not the names.
    """

    sentences: tuple[str, ...]
    numbers: tuple[int, ...]
    person: str
    animals: str
    core: str

    @property
    def text(self) -> str:
        """The passage."""
        return " ".join(self.sentences)

    @property
    def question(self) -> str:
        """The question."""
        return f"How many {self.animals} has {self.person}?"


def word_sum(draw: Generator, steps: int) -> Sum:
    """Return a sum of ``steps`` changes; every number in it is between 2 and 15."""
    person, other = some(draw, PEOPLE, 2)
    animals = plural(one(draw, ANIMALS))
    number = int(draw.integers(2, 11))
    sentences, numbers, core = [f"{person} has {NUMBERS[number]} {animals}."], [number], [str(number)]
    for _ in range(steps):
        up = number < 4 or (number < MOST - 1 and draw.random() < 0.5)
        change = int(draw.integers(2, min(6, MOST - number if up else number - 2) + 1))
        number += change if up else -change
        core.append(f"{'+' if up else '-'}{change}")
        said = NUMBERS[change]
        handed = draw.random() < 0.4
        if handed and up:
            sentences.append(f"{other} gives {person} {said} {animals}.")
        elif handed:
            sentences.append(f"{person} gives {other} {said} {animals}.")
        else:
            sentences.append(f"{person} {one(draw, MORE if up else LESS)} {said} {animals}.")
        numbers.append(number)
    return Sum(tuple(sentences), tuple(numbers), person, animals, " ".join(core))
