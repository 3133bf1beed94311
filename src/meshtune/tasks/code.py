"""Tasks whose answers are programs: extracted from the text, run with their tests, right if nothing fails.

A model seldom writes only a program. Fences are removed, and anything after the last line that still forms a program (a
truncated answer, a remark) is dropped, as harnesses do.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from meshtune.errors import UserError
from meshtune.tasks.base import Question, Task, TaskRow

_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)


class CodeTask(Task):
    """A written task whose answers are run in the sandbox."""

    written: ClassVar[bool] = True
    longest_answer: ClassVar[int] = 256
    stops: ClassVar[tuple[str, ...]] = ("\nQuestion:", "\n[DONE]")
    executes: ClassVar[bool] = True
    judged: ClassVar[str] = "acc: the program and the tests behind it run to their end"

    @abstractmethod
    def program(self, question: Question, text: str) -> str:
        """Return the program in ``text``, without its tests."""

    def answer(self, row: TaskRow) -> int:
        """The only one."""
        return 0

    def grade(
        self, questions: Sequence[Question], texts: Sequence[str], unsafe: bool = False
    ) -> list[dict[str, float]]:
        """Return ``acc``: 1 if the program and its tests run to their end; equal programs run once."""
        from meshtune.sandbox.execution import run_programs

        programs = [f"{self.program(q, text)}\n\n{q.check}\n" for q, text in zip(questions, texts, strict=True)]
        distinct = list(dict.fromkeys(programs))
        passed = {
            program: outcome.passed
            for program, outcome in zip(distinct, run_programs(distinct, unsafe=unsafe), strict=True)
        }
        return [{"acc": float(passed[program])} for program in programs]


def pieces(text: str) -> list[str]:
    """Return ``text`` split at its fences, without their lines; the whole text if there are none."""
    return [piece.strip("\n") for piece in _FENCE.split(text)]


def programs(text: str) -> list[tuple[str, ast.Module]]:
    """Return the part of each piece that is a complete program, allowing for indentation, with its syntax tree."""
    found = pieces(text)
    return [longest_program(textwrap.dedent(piece) if piece[:1].isspace() else piece) for piece in found]


def parsed(source: str) -> ast.Module | None:
    """Return the syntax tree of a program, or None if it is not valid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the answer
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def longest_program(text: str) -> tuple[str, ast.Module]:
    """Return the longest prefix of ``text``, in lines, that is a program, and its syntax tree."""
    lines = text.split("\n")
    for count in range(len(lines), 0, -1):
        source = "\n".join(lines[:count])
        tree = parsed(source)
        if tree is not None:
            return source, tree
    return "", ast.Module([], [])


def checked(source: str, where: str) -> str:
    """Return the code of a row with plain newlines; invalid code is a UserError."""
    plain = source.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if parsed(plain) is None:
        raise UserError(f"{where} is not a Python program: fix it or drop the row")
    return plain
