"""GSM8K (Cobbe et al. 2021): word problems, answered by a worked solution that ends in its number after ``####``."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import ClassVar

from meshtune.errors import UserError
from meshtune.tasks.base import PUBLIC_TEST, Question, Task, TaskRow, text
from meshtune.tasks.numerals import number_in

MARK = "####"


class GSM8K(Task):
    """Grade-school sums; only the last number of a solution is judged."""

    name = "gsm8k"
    hub_id = "openai/gsm8k"
    hub_config = "main"
    splits = PUBLIC_TEST
    fields = ("question", "answer")
    licence = "MIT"
    example: ClassVar = {
        "question": "Ann has 3 bags with 6 apples each. How many apples has she?",
        "answer": "She has 3 * 6 = <<3*6=18>>18 apples.\n#### 18",
    }
    written = True
    judged = "acc: its number behind ####, or else its last number, is the reference's"
    longest_answer = 256
    stops = ("\nQuestion:",)

    def body(self, row: TaskRow) -> str:
        """The problem."""
        return text(row, "question")

    def own_prompt(self, row: TaskRow) -> str:
        """The problem between ``Question:`` and ``Answer:``."""
        return f"Question: {text(row, 'question')}\nAnswer:"

    def options(self, row: TaskRow) -> tuple[str]:
        """The worked solution."""
        solution = text(row, "answer")
        behind = solution.rpartition(MARK)[2] if MARK in solution else ""
        if number_in(behind) is None:
            raise UserError(f"field 'answer' has no number behind {MARK}: end the solution with '{MARK} 42'")
        if number_in(behind) != number_in(behind, last=True):
            raise UserError(f"field 'answer' has more than one number behind {MARK}: leave the answer alone there")
        return (solution,)

    def answer(self, row: TaskRow) -> int:
        """The only one."""
        return 0

    def judge(self, question: Question, text: str) -> bool:
        """Tell whether the text ends in the reference's number."""
        found = final_number(text)
        return found is not None and found == final_number(question.options[question.answer])


def final_number(solution: str) -> Decimal | Fraction | None:
    """Return the number after the first ``####`` that has one, else the last number in the text."""
    for part in solution.split(MARK)[1:]:
        found = number_in(part.partition("\n")[0])
        if found is not None:
            return found
    return number_in(solution, last=True)
