"""MBPP (Austin et al. 2021): a function described in a sentence and three tests, which an answer must pass."""

from __future__ import annotations

import ast
from typing import ClassVar

from meshtune.errors import UserError
from meshtune.tasks.base import PUBLIC_TEST, Question, TaskRow, own_id, text, texts
from meshtune.tasks.code import CodeTask, checked, programs


class MBPP(CodeTask):
    """Mostly basic programs, in the full version of the data set."""

    name = "mbpp"
    hub_id = "google-research-datasets/mbpp"
    hub_config = "full"
    splits = PUBLIC_TEST
    fields = ("text", "code", "test_list", "test_setup_code")
    licence = "CC BY 4.0"
    example: ClassVar = {
        "text": "Write a function that doubles a number.",
        "code": "def double(n):\n    return 2 * n",
        "test_list": ["assert double(2) == 4", "assert double(-1) == -2"],
        "test_setup_code": "",
    }

    def body(self, row: TaskRow) -> str:
        """The description, then the tests."""
        return f"{text(row, 'text')}\nThe code must pass these tests:\n{_tests(row)}"

    def own_prompt(self, row: TaskRow) -> str:
        """The prompt of the paper."""
        told = f"You are an expert Python programmer, and here is your task: {text(row, 'text')}"
        return f"{told} Your code should pass these tests:\n\n{_tests(row)}\n[BEGIN]"

    def options(self, row: TaskRow) -> tuple[str]:
        """The reference program."""
        return (checked(text(row, "code"), "field 'code'"),)

    def check(self, row: TaskRow) -> str:
        """The tests; their setup comes after the program, because it may need it."""
        setup = checked(text(row, "test_setup_code", may_be_empty=True), "field 'test_setup_code'")
        return f"{setup}\n{_tests(row)}".strip()

    def row_id(self, row: TaskRow, number: int) -> str:
        """The row's own number if it has one."""
        return own_id(row, "task_id", number)

    def program(self, question: Question, text: str) -> str:
        """Return the first piece that defines anything."""
        return next((source for source, tree in programs(text) if any(map(_defines, tree.body))), "")


def _tests(row: TaskRow) -> str:
    if not row["test_list"]:
        raise UserError("field 'test_list' is empty: fill it in or drop the row")
    return "\n".join(checked(test.strip(), "field 'test_list'") for test in texts(row, "test_list"))


def _defines(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.ImportFrom)
