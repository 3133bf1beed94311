"""Sequel: a passage, a hint at one of its people by what they hold, and three continuations."""

from __future__ import annotations

from numpy.random import Generator

from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.facts import one, some
from meshtune.world.scenes import scene


class Sequel(GeneratedTask):
    """Language understanding: the story goes on with whoever has the animal it asks about; chance 1/3."""

    name = "sequel"
    chance = 1 / 3

    def make(self, draw: Generator) -> Made:
        told = scene(draw, 3, int(draw.integers(2, 4)))
        animal = one(draw, sorted(told.holder))
        order = some(draw, told.people, 3)
        asked = f"{told.text} Somebody smiles. Who has the {animal}?"
        return Made(told.text + animal, asked, [f"{p} smiles." for p in order], order.index(told.holder[animal]))
