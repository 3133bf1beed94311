"""Machines: write the expression that a machine described in words computes; judged by running it."""

from __future__ import annotations

from numpy.random import Generator

from meshtune.tasks.base import Question
from meshtune.tasks.generated import GeneratedTask, Made
from meshtune.world.expressions import ExpressionError, expression, machine, run, words
from meshtune.world.facts import one
from meshtune.world.vocabulary import PEOPLE

HIDDEN = (0, 1, 2, 7, 10, 23)  # the inputs on which an expression must agree with the reference


class Machines(GeneratedTask):
    """Tiny programs of two or three steps. The best constant answer is right for 1 in 100, of the tests for 1 in 35."""

    name = "machines"
    chance = 0.03
    written = True
    judged = "acc: it computes what the reference computes"
    longest_answer = 16

    def make(self, draw: Generator) -> Made:
        steps = machine(draw, int(draw.integers(2, 4)))
        asked = f"{one(draw, PEOPLE)} has a machine that {words(steps)}. What is the machine?"
        return Made(expression(steps), asked, [expression(steps)])

    def judge(self, question: Question, text: str) -> bool:
        """Tell whether the expression equals the reference on every hidden input."""
        try:
            return all(run(text, x) == run(question.options[0], x) for x in HIDDEN)
        except ExpressionError:
            return False
