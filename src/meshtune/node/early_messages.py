"""Messages of rounds that a node has not begun: neighbours need not keep step.

A neighbour may be some rounds ahead. What it sends then waits until this node begins that round, so that a round's mix
takes what belongs to it. Of one sender, kind, source and round the newest message waits, and no more than so many.
"""

from __future__ import annotations

from meshtune.wire.payload import Message

MOST_WAITING = 10_000
"""Messages that wait at most: an update and what is said of it, of a thousand devices, some rounds ahead."""


class EarlyMessages:
    """What has come too early, by round."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int, str, int], tuple[int, bytes]] = {}

    def wait(self, sender: int, message: Message, data: bytes) -> bool:
        """Keep a message until its round begins; return whether there is room for it."""
        key = (message.round, sender, message.kind, message.source)
        if key not in self._waiting and len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting[key] = (sender, data)
        return True

    def due(self, round_: int) -> list[tuple[int, bytes]]:
        """Take out and return (sender, data) of what belongs to ``round_`` or one before, oldest first."""
        keys = [key for key in self._waiting if key[0] <= round_]
        return [self._waiting.pop(key) for key in keys]

    def snapshot(self) -> list[tuple[int, bytes]]:
        """Return (sender, data) of all that waits."""
        return list(self._waiting.values())
