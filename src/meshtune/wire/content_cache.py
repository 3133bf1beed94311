"""A cache keyed by content, shared within a process: equal work is done and stored once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

Made = TypeVar("Made")


class ContentCache:
    """Results under keys that identify all their inputs by content.

    It saves work and memory in a process that hosts many devices. Nothing depends on it: a missing result is computed
    again and is equal.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], object] = {}

    def once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """Return the result stored under ``key``; if there is none, call ``make`` and store its result."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    def release(self) -> None:
        """Free everything."""
        self._made.clear()
