"""People who take animals and hand them over: passages, and what is true at their end."""

from __future__ import annotations

from dataclasses import dataclass, field

from numpy.random import Generator

from meshtune.world.facts import one, some
from meshtune.world.words import ANIMALS, MOODS, PEOPLE, ROOMS, a, listed


@dataclass
class Scene:
    """A passage and its end.

    Attributes:
        people: who is in it, in order of appearance.
        holder: animal -> the person who has it; the animals that occur.
        sentences: what was told.
    """

    people: list[str]
    holder: dict[str, str] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The passage."""
        return " ".join(self.sentences)


def scene(draw: Generator, people: int, steps: int) -> Scene:
    """Return a passage in which ``people`` people appear and ``steps`` things happen, first of all that
    somebody takes an animal.
    """
    made = Scene(some(draw, PEOPLE, people))
    made.sentences.append(f"{listed(made.people)} are in the {one(draw, ROOMS)}.")
    free = some(draw, ANIMALS, 3)
    for step in range(steps):
        kind = int(draw.integers(8)) if step else 0
        loose = [animal for animal in free if animal not in made.holder]
        if kind < 4 and loose:
            animal, person = loose[0], one(draw, made.people)
            made.holder[animal] = person
            made.sentences.append(f"{person} takes the {animal}.")
        elif kind < 7:
            animal = one(draw, sorted(made.holder))
            giver = made.holder[animal]
            taker = one(draw, [p for p in made.people if p != giver])
            made.holder[animal] = taker
            made.sentences.append(f"{giver} gives the {animal} to {taker}.")
        else:
            made.sentences.append(f"{one(draw, made.people)} {one(draw, MOODS)}.")
    return made


def claim(draw: Generator, made: Scene, true: bool) -> str:
    """Return a question about the end of the scene that is to be affirmed iff ``true``.

    Either whether an animal occurs, or whether a person of the scene has an animal of the scene.
    """
    if draw.random() < 0.5:
        pool = sorted(made.holder) if true else [animal for animal in ANIMALS if animal not in made.holder]
        return f"Is there {a(one(draw, pool))}?"
    animal = one(draw, sorted(made.holder))
    right = made.holder[animal]
    person = right if true else one(draw, [p for p in made.people if p != right])
    return f"Has {person} the {animal}?"
