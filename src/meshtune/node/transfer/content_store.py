"""The contents that a device offers, by digest. Each is stored once, however many neighbours it is offered to.

The total size is bounded. A content is removed when it is no longer offered to anybody, or, oldest first, when its room
is needed.
"""

from __future__ import annotations

from collections import Counter

from meshtune.errors import MalformedError, OversizedError, StaleError
from meshtune.node.transfer.transfer_messages import Content, content_of

Name = tuple[int, int]
"""A neighbour, and the number of the offer to it."""


class ContentStore:
    """Contents stored under names; a content with several names is stored once.

    Args:
        most: maximum bytes of all contents together.

    Attributes:
        held: bytes currently stored.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0
        self._data: dict[Content, bytes] = {}
        self._names: dict[Name, Content] = {}
        self._uses: Counter[Content] = Counter()

    def put(self, name: Name, data: bytes) -> tuple[Content, list[Name]]:
        """Store ``data`` under a new ``name``; return its content key and the names evicted to make room.

        Raises:
            OversizedError: it is larger than the whole store.
        """
        content, gone = content_of(data), []
        if content.size > self._most:
            raise OversizedError(f"a content of {content.size} bytes is over the limit of {self._most}")
        while content not in self._data and self.held + content.size > self._most:
            gone.append(next(iter(self._names)))
            self.remove(gone[-1])
        if content not in self._data:
            self._data[content] = data
            self.held += content.size
        self._names[name] = content
        self._uses[content] += 1
        return content, gone

    def remove(self, name: Name) -> None:
        """Remove ``name``, and its content if it has no other name; does nothing for an unknown name."""
        content = self._names.pop(name, None)
        if content is None:
            return
        self._uses[content] -= 1
        if not self._uses[content]:
            del self._uses[content], self._data[content]
            self.held -= content.size

    def whole(self, name: Name) -> bytes:
        """Return the content stored under ``name``."""
        return self._data[self._names[name]]

    def part(self, content: Content, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of ``content`` starting at ``offset``.

        Raises:
            StaleError: the content is not offered, or no longer.
            MalformedError: it has no such part.
        """
        data = self._data.get(content)
        if data is None:
            raise StaleError(f"the content {content.digest[:12]} is not offered here, or no longer")
        if offset + length > content.size:
            raise MalformedError(f"{length} bytes from {offset} on were requested of a content of {content.size}")
        return data[offset : offset + length]
