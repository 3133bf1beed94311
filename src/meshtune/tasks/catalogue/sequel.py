"""Sequel: three animals in a room, somebody with food for one of them, and three possible continuations."""

from __future__ import annotations

from numpy.random import Generator

from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.corpus import crowd, crowd_core, crowd_text
from meshtune.world.facts import one, some
from meshtune.world.vocabulary import PEOPLE


class Sequel(GeneratedTask):
    """Language understanding: the story continues with the one of three animals that eats the food; chance 1/3."""

    name = "sequel"
    chance = 1 / 3

    def make(self, draw: Generator) -> Made:
        animals, eaters = crowd(draw, 3, least=3)
        (food, *absent), order = some(draw, list(eaters), 3), some(draw, animals, 3)
        has = f"{one(draw, PEOPLE)} has no {absent[0]}, no {absent[1]}, but {food}."
        asked = f"{crowd_text(draw, animals)} {has} Which of them eats?"
        options = [f"The {animal} smiles." for animal in order]
        return Made(crowd_core(animals, food), asked, options, order.index(eaters[food]))
