"""Sums: word problems, three of four in one step, the others in two; the answer is a number, written as a word."""

from __future__ import annotations

from numpy.random import Generator

from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.vocabulary import NUMBERS
from meshtune.world.word_sums import word_sum


class Sums(GeneratedTask):
    """Arithmetic: how many are left? The best constant answer is right for about 1 in 7, of the tests for 1 in 5."""

    name = "sums"
    chance = 0.2
    written = True
    longest_answer = 4

    def make(self, draw: Generator) -> Made:
        told = word_sum(draw, 2 if draw.random() < 0.25 else 1)
        return Made(told.core, f"{told.text} {told.question}", [NUMBERS[told.numbers[-1]]])
