"""HumanEval (Chen et al. 2021): a function's head and docstring, to be completed. It is for testing only.

An answer may rewrite the whole function or continue where the prompt ends; both run after the prompt's imports and
definitions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import ClassVar

from meshtune.errors import UserError
from meshtune.tasks.base import Question, TaskRow, text
from meshtune.tasks.code import CodeTask, checked, longest_program, parsed, pieces, programs

_INDENT = "    "
_BOTH = "field 'prompt' with 'canonical_solution'"


class HumanEval(CodeTask):
    """A second test for devices that learn MBPP: name it in that task's ``also``."""

    name = "openai_humaneval"
    hub_id = "openai/openai_humaneval"
    splits: ClassVar = {"test": "test"}
    fields = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    licence = "MIT"
    example: ClassVar = {
        "task_id": "mine/1",
        "prompt": 'def double(n):\n    """Return twice n."""\n',
        "canonical_solution": "    return 2 * n\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
        "entry_point": "double",
    }

    def body(self, row: TaskRow) -> str:
        """The beginning of the function."""
        return f"Complete this Python function:\n{self.given(row)}"

    def own_prompt(self, row: TaskRow) -> str:
        """The customary wording for instruction-tuned models."""
        told = "Write a solution to the following problem and make sure that it passes the tests:"
        return f"{told}\n```python\n{self.given(row)}\n```"

    def options(self, row: TaskRow) -> tuple[str]:
        """The whole function."""
        solution = row["canonical_solution"]
        if not isinstance(solution, str) or not solution.strip():
            raise UserError("field 'canonical_solution' is not text: fill it in or drop the row")
        whole, name = checked(f"{self.given(row)}\n{solution.rstrip()}", _BOTH), text(row, "entry_point")
        if _length(parsed(whole), name) <= _length(parsed(self.given(row)), name):
            raise UserError(f"{_BOTH} is not a Python function: indent the solution by four spaces, or drop the row")
        return (whole,)

    def given(self, row: TaskRow) -> str:
        """The prompt: imports, often a helper, and the function without its body."""
        given, name = checked(text(row, "prompt"), "field 'prompt'"), text(row, "entry_point")
        if _function(parsed(given), name) is None:
            raise UserError(f"field 'prompt' does not define {name}, which 'entry_point' names")
        return given

    def check(self, row: TaskRow) -> str:
        """The tests, and their call."""
        tests = checked(text(row, "test"), "field 'test'")
        if _function(parsed(tests), "check") is None:
            raise UserError("field 'test' does not define check: add 'def check(candidate):' with the tests in it")
        return f"{tests}\n\ncheck({text(row, 'entry_point')})"

    def row_id(self, row: TaskRow, number: int) -> str:
        """The row's own name."""
        return text(row, "task_id")

    def program(self, question: Question, text: str) -> str:
        """Return the prompt followed by the rewritten function, or by its body."""
        name = question.check.rpartition("\ncheck(")[2].rstrip(")")
        for source, tree in programs(text):
            if _function(tree, name) is not None:
                return f"{question.given}\n\n\n{source}"
        bodies = [body for piece in pieces(text) for body in _indented(piece)]
        continued = [longest_program(f"{question.given}\n{body}") for body in bodies]
        return max(continued, key=lambda one: _length(one[1], name))[0]


def _function(tree: ast.Module | None, name: str) -> ast.FunctionDef | None:
    """Return the last function called ``name``."""
    made = [node for node in (tree.body if tree else []) if isinstance(node, ast.FunctionDef) and node.name == name]
    return made[-1] if made else None


def _length(tree: ast.Module | None, name: str) -> int:
    """Return how many statements the function called ``name`` has."""
    function = _function(tree, name)
    return len(function.body) if function else 0


def _indented(piece: str) -> Iterator[str]:
    """Yield ``piece`` unchanged, and with the indentation that its first line, or every line, may have lost."""
    yield piece
    first, newline, rest = piece.partition("\n")
    yield _INDENT + first.lstrip() + newline + rest
    yield "\n".join(_INDENT + line for line in piece.split("\n"))
