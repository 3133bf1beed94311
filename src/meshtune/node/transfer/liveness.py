"""Which neighbours are alive: one that has been silent for too long counts as gone until its next message."""

from __future__ import annotations

from collections.abc import Collection

from meshtune.node.clock import Clock


class Liveness:
    """When each neighbour was last heard.

    Args:
        silence: seconds without a message after which a neighbour counts as gone.
        clock: tells the time.

    Attributes:
        gone: neighbours that count as gone.
    """

    def __init__(self, silence: float, clock: Clock) -> None:
        self._silence, self._clock = silence, clock
        self._last: dict[int, float] = {}
        self.gone: set[int] = set()

    def watch(self, neighbours: Collection[int]) -> None:
        """Watch exactly ``neighbours``; new ones count as heard just now."""
        now = self._clock.now()
        self._last = {one: self._last.get(one, now) for one in neighbours}
        self.gone &= self._last.keys()

    def heard(self, neighbour: int) -> bool:
        """Record a message from ``neighbour``; return whether it had counted as gone."""
        self._last[neighbour] = self._clock.now()
        back = neighbour in self.gone
        self.gone.discard(neighbour)
        return back

    def lapsed(self) -> list[int]:
        """Return the neighbours that newly count as gone."""
        now = self._clock.now()
        found = [one for one, last in self._last.items() if one not in self.gone and last + self._silence <= now]
        self.gone.update(found)
        return found

    def deadline(self) -> float | None:
        """Return when the next neighbour will count as gone; None if all are gone."""
        there = [last for one, last in self._last.items() if one not in self.gone]
        return min(there) + self._silence if there else None
