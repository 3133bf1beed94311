"""A tiny language: expressions over one number x, described in words, written in symbols and run by this module.

Grammar: ``sum := term (("+" | "-") term)*``, ``term := atom ("*" atom)*``, ``atom := "x" | number | "(" sum ")"``.
No Python code is run, and a text can only add, subtract and multiply small numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from numpy.random import Generator

from meshtune.world.vocabulary import NUMBERS, listed

LONGEST = 200  # characters of an expression that is run
DEEPEST = 20
LARGEST = 10**12

_TOKEN = re.compile(r"\s*([x()+*-]|[0-9]{1,6})")


class ExpressionError(ValueError):
    """The text is not an expression of the language, or its value grows without bounds."""


def machine(draw: Generator, steps: int) -> list[tuple[str, int]]:
    """Return ``steps`` random steps (``add``, ``subtract`` or ``multiply``, and the number)."""
    made: list[tuple[str, int]] = []
    for _ in range(steps):
        kinds = [kind for kind in ("add", "subtract", "multiply") if not made or kind != made[-1][0]]
        kind = kinds[int(draw.integers(len(kinds)))]
        made.append((kind, int(draw.integers(2, 4 if kind == "multiply" else 10))))
    return made


def words(steps: Sequence[tuple[str, int]]) -> str:
    """Return the steps in words: ``adds three, doubles and takes two``."""
    said = []
    for kind, number in steps:
        if kind == "multiply":
            said.append({2: "doubles", 3: "triples"}[number])
        else:
            said.append(f"{'adds' if kind == 'add' else 'takes'} {NUMBERS[number]}")
    return listed(said)


def expression(steps: Sequence[tuple[str, int]]) -> str:
    """Return the steps as an expression: ``(x+3)*2-2``, without needless brackets."""
    text, loose = "x", False
    for kind, number in steps:
        if kind == "multiply":
            text, loose = f"{f'({text})' if loose else text}*{number}", False
        else:
            text, loose = f"{text}{'+' if kind == 'add' else '-'}{number}", True
    return text


def run(text: str, x: int) -> int:
    """Return the value of the expression ``text`` at ``x``.

    Raises:
        ExpressionError: not an expression, too long, too deep, or a value beyond 10^12.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression of {len(text)} characters is too long: at most {LONGEST}")
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(f"{text!r} is no expression: unknown sign at {at + 1}")
        tokens.append(found[1])
        at = found.end()
    value, rest = _sum(tokens, 0, x, 0)
    if rest != len(tokens):
        raise ExpressionError(f"{text!r} is no expression: it goes on behind its end with {tokens[rest]!r}")
    return value


def _sum(tokens: Sequence[str], at: int, x: int, depth: int) -> tuple[int, int]:
    value, at = _term(tokens, at, x, depth)
    while at < len(tokens) and tokens[at] in "+-":
        more, after = _term(tokens, at + 1, x, depth)
        value = _bounded(value + more if tokens[at] == "+" else value - more)
        at = after
    return value, at


def _term(tokens: Sequence[str], at: int, x: int, depth: int) -> tuple[int, int]:
    value, at = _atom(tokens, at, x, depth)
    while at < len(tokens) and tokens[at] == "*":
        more, at = _atom(tokens, at + 1, x, depth)
        value = _bounded(value * more)
    return value, at


def _atom(tokens: Sequence[str], at: int, x: int, depth: int) -> tuple[int, int]:
    if at >= len(tokens):
        raise ExpressionError("the expression ends too early")
    token = tokens[at]
    if token == "x":
        return x, at + 1
    if token.isdigit():
        return int(token), at + 1
    if token != "(" or depth >= DEEPEST:
        raise ExpressionError(f"{token!r} is not expected here")
    value, at = _sum(tokens, at + 1, x, depth + 1)
    if at >= len(tokens) or tokens[at] != ")":
        raise ExpressionError("a bracket is not closed")
    return value, at + 1


def _bounded(value: int) -> int:
    if abs(value) > LARGEST:
        raise ExpressionError("the value grows beyond 10^12")
    return value
