"""Animals: two-step facts of the world, through an animal's home or food; the answer is one word."""

from __future__ import annotations

from types import MappingProxyType

from numpy.random import Generator

from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.facts import TWO_STEPS, one
from meshtune.world.vocabulary import ANIMALS, PEOPLE, ROOMS, a

ASKED = MappingProxyType(
    {
        "weather": "What is the weather at its home?",
        "colour": "What colour is its food?",
        "season": "When does its food grow?",
    }
)


class Animals(GeneratedTask):
    """Science-like facts that no passage states. The best constant answer is right for 1 in 10, in tests 1 in 7."""

    name = "animals"
    chance = 0.15
    written = True
    longest_answer = 4

    def make(self, draw: Generator) -> Made:
        animal, kind = one(draw, ANIMALS), one(draw, tuple(ASKED))
        asked = f"{one(draw, PEOPLE)} sees {a(animal)} in the {one(draw, ROOMS)}. {ASKED[kind]}"
        return Made(f"{kind} {animal}", asked, [TWO_STEPS[kind][animal]])
