"""What a process has worked out, by what it was worked out from: equal work is done and kept once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

Made = TypeVar("Made")


class ContentCache:
    """Results by keys that say all that they are made of, by content.

    It saves work and memory where a process is host to many devices. Nothing depends on it: what is not there is made
    again, and is equal.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], object] = {}

    def once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """Return what ``make`` returned when it was first asked for under ``key``, or what it returns now."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    def release(self) -> None:
        """Free everything."""
        self._made.clear()
