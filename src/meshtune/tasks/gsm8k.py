"""GSM8K (Cobbe et al. 2021): word problems, answered by a worked solution that ends in its number behind ``####``."""

from __future__ import annotations

import re
from decimal import Decimal

from meshtune.errors import UserError
from meshtune.tasks.base import PUBLIC_TEST, Question, Row, Task, text

MARK = "####"
# A minus behind a digit takes away: it is no sign.
_NUMBER = re.compile(r"((?<![0-9])-)?\$?([0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")


class GSM8K(Task):
    """Grade-school sums; only the last number of a solution is judged."""

    name = "gsm8k"
    hub_id = "openai/gsm8k"
    hub_config = "main"
    splits = PUBLIC_TEST
    fields = ("question", "answer")
    licence = "MIT"
    written = True
    longest_answer = 256
    stops = ("\nQuestion:",)

    def body(self, row: Row) -> str:
        """The problem."""
        return text(row, "question")

    def own_prompt(self, row: Row) -> str:
        """The problem between ``Question:`` and ``Answer:``."""
        return f"Question: {text(row, 'question')}\nAnswer:"

    def options(self, row: Row) -> tuple[str]:
        """The worked solution."""
        solution = text(row, "answer")
        if MARK not in solution or number_in(solution.rpartition(MARK)[2]) is None:
            raise UserError(f"field 'answer' has no number behind {MARK}: end the solution with '{MARK} 42'")
        return (solution,)

    def answer(self, row: Row) -> int:
        """The only one."""
        return 0

    def judge(self, question: Question, text: str) -> bool:
        """Tell whether the text ends in the reference's number."""
        found = final_number(text)
        return found is not None and found == final_number(question.options[question.answer])


def final_number(solution: str) -> Decimal | None:
    """Return the number behind the first ``####`` that has one, else the last number of all."""
    for part in solution.split(MARK)[1:]:
        found = number_in(part.partition("\n")[0])
        if found is not None:
            return found
    return number_in(solution, last=True)


def number_in(words: str, last: bool = False) -> Decimal | None:
    """Return the first number in ``words``, or the last one; thousands may have commas, and a ``$`` may stand there."""
    found = _NUMBER.findall(words)
    return Decimal("".join(found[-1 if last else 0]).replace(",", "")) if found else None
