"""Crowds: a passage names animals, the world knows what they eat; which of them eats this?"""

from __future__ import annotations

from numpy.random import Generator

from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.corpus import crowd, crowd_core, crowd_text
from meshtune.world.facts import one


class Crowds(GeneratedTask):
    """Mixed: passage and facts together. Naming one of the three to five animals is right for about 1 in 4."""

    name = "crowds"
    chance = 0.26
    written = True
    longest_answer = 4

    def make(self, draw: Generator) -> Made:
        animals, eaters = crowd(draw, int(draw.integers(3, 6)))
        food = one(draw, list(eaters))
        told = crowd_text(draw, animals)
        return Made(crowd_core(animals, food), f"{told} Which of them eats {food}?", [f"the {eaters[food]}"])
