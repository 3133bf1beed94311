"""Messages for rounds that a node has not begun yet: neighbours need not run in lockstep.

A neighbour may be some rounds ahead. Its messages wait until this node begins the round they belong to, so that each
round mixes the right updates. Only the newest message per sender, kind, source and round waits, and the total is
bounded.
"""

from __future__ import annotations

from meshtune.wire.payload import Message

MOST_WAITING = 10_000
"""Maximum number of waiting messages: an update and its control messages for a thousand devices, some rounds ahead."""


class EarlyMessages:
    """Messages that arrived too early, by round."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int, str, int], tuple[int, bytes]] = {}

    def wait(self, sender: int, message: Message, data: bytes) -> bool:
        """Keep a message until its round begins; return whether there was room for it."""
        key = (message.round, sender, message.kind, message.source)
        if key not in self._waiting and len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting[key] = (sender, data)
        return True

    def due(self, round_: int) -> list[tuple[int, bytes]]:
        """Remove and return (sender, data) of the messages of ``round_`` and earlier rounds, in order of arrival."""
        keys = [key for key in self._waiting if key[0] <= round_]
        return [self._waiting.pop(key) for key in keys]

    def snapshot(self) -> list[tuple[int, bytes]]:
        """Return (sender, data) of all waiting messages."""
        return list(self._waiting.values())
