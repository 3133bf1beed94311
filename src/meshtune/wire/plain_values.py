"""Checks of the plain values in a message: an invalid one raises a PayloadError that quotes little of it.

Needs no torch, so messages without tensors are checked here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from meshtune.errors import MalformedError
from meshtune.printable import quoted

LONGEST_NAME = 256
"""Characters of a task key."""


def fact(meta: Mapping[str, Any], name: str) -> Any:
    """Return ``meta[name]``."""
    if name not in meta:
        raise MalformedError(f"a message lacks its {name}")
    return meta[name]


def whole(value: Any, name: str, low: int, high: int | None) -> int:
    """Return ``value``, an integer from ``low`` to ``high`` (None: no upper bound); True and 3.0 are refused."""
    if type(value) is not int or value < low or (high is not None and value > high):
        bounds = "up" if high is None else f"to {high}"
        raise MalformedError(f"{name} is {quoted(value)}: expected a whole number from {low} {bounds}")
    return value


def text(value: Any, name: str, longest: int = LONGEST_NAME) -> str:
    """Return ``value``, a string of 1 to ``longest`` characters."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise MalformedError(f"{name} is {quoted(value)}: expected text of 1 to {longest} characters")
    return value


def floats(value: Any, name: str, count: int) -> tuple[float, ...]:
    """Return ``value``, a list of ``count`` finite numbers."""
    if not isinstance(value, list | tuple) or len(value) != count:
        raise MalformedError(f"{name} is {quoted(value)}: expected {count} numbers")
    return tuple(real(each, name) for each in value)


def real(value: Any, name: str) -> float:
    """Return ``value``, a finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise MalformedError(f"{name} is {quoted(value)}: expected a finite number")
