"""Claims: a passage in which somebody's animals become more or fewer, and a yes-or-no question."""

from __future__ import annotations

from numpy.random import Generator

from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.word_sums import word_sum


class Claims(GeneratedTask):
    """Language understanding: who gains and who loses? The passages are those of the sums; chance 0.5."""

    name = "claims"
    chance = 0.5

    def make(self, draw: Generator) -> Made:
        more = bool(draw.random() < 0.5)
        told = word_sum(draw, int(draw.integers(1, 3)))
        while told.numbers[-1] == told.numbers[0] or (told.numbers[-1] > told.numbers[0]) != more:
            told = word_sum(draw, int(draw.integers(1, 3)))
        asked = f"{told.text} Yes or no: is it more?"
        return Made(told.core, asked, ("gained, yes", "lost, no"), 0 if more else 1)
