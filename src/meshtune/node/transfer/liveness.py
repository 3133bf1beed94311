"""Who is there: a neighbour that has said nothing for so many seconds counts as gone, until its next message."""

from __future__ import annotations

from collections.abc import Collection

from meshtune.node.clock import Clock


class Liveness:
    """When neighbours were last heard.

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
        """Watch ``neighbours`` and nobody else; who is new has just been heard, as it were."""
        now = self._clock.now()
        self._last = {one: self._last.get(one, now) for one in neighbours}
        self.gone &= self._last.keys()

    def heard(self, neighbour: int) -> bool:
        """Take note of a message of ``neighbour``; return whether it had been gone."""
        self._last[neighbour] = self._clock.now()
        back = neighbour in self.gone
        self.gone.discard(neighbour)
        return back

    def lapsed(self) -> list[int]:
        """Return who counts as gone from now on."""
        now = self._clock.now()
        found = [one for one, last in self._last.items() if one not in self.gone and last + self._silence <= now]
        self.gone.update(found)
        return found

    def deadline(self) -> float | None:
        """Return the moment at which the next neighbour counts as gone; None where there is none left."""
        there = [last for one, last in self._last.items() if one not in self.gone]
        return min(there) + self._silence if there else None
