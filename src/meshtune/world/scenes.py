"""Passages in which animals go from one person to another, and the state at their end."""

from __future__ import annotations

from dataclasses import dataclass, field

from numpy.random import Generator

from meshtune.world.facts import one, some
from meshtune.world.vocabulary import ANIMALS, MOODS, PEOPLE, ROOMS, listed


@dataclass
class Passage:
    """A passage and its end.

    Attributes:
        people: who is in it, in order of appearance.
        sentences: the text; the first says who is there, each other one is an event.
        holders: after each event, animal -> the person who has it, for the animals that occur.
    """

    people: list[str]
    sentences: list[str] = field(default_factory=list)
    holders: list[dict[str, str]] = field(default_factory=list)

    @property
    def holder(self) -> dict[str, str]:
        """Who has which animal at the end."""
        return self.holders[-1]

    @property
    def text(self) -> str:
        """The passage."""
        return " ".join(self.sentences)


def scene(draw: Generator, people: int, steps: int) -> Passage:
    """Return a passage with ``people`` people and ``steps`` events; in the first an animal goes to somebody. None of
    its one to three animals moves on more than once.
    """
    made = Passage(some(draw, PEOPLE, people))
    made.sentences.append(f"{listed(made.people)} are in the {one(draw, ROOMS)}.")
    free, still = some(draw, ANIMALS, 3), set[str]()
    holder: dict[str, str] = {}
    for step in range(steps):
        kind = int(draw.integers(8)) if step else 0
        if kind < 4 and free:
            animal, person = free.pop(), one(draw, made.people)
            holder[animal] = person
            made.sentences.append(f"The {animal} goes to {person}.")
        elif kind < 7 and len(still) < len(holder):
            animal = one(draw, sorted(set(holder) - still))
            still.add(animal)
            holder[animal] = one(draw, [p for p in made.people if p != holder[animal]])
            made.sentences.append(f"The {animal} goes to {holder[animal]}.")
        else:
            made.sentences.append(f"{one(draw, made.people)} {one(draw, MOODS)}.")
        made.holders.append(dict(holder))
    return made
