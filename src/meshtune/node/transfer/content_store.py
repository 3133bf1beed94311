"""Contents that a device offers, by digest, each kept once however many neighbours it is offered to.

They take a bounded number of bytes. A content goes when nobody is offered it any more, or when the room is needed: the
oldest first.
"""

from __future__ import annotations

from collections import Counter

from meshtune.errors import MalformedError, OversizedError, StaleError
from meshtune.node.transfer.transfer_messages import Content, content_of

Name = tuple[int, int]
"""A neighbour, and the number of what it is offered."""


class ContentStore:
    """Contents under names; a content that has several names is kept once.

    Args:
        most: bytes of all contents together.

    Attributes:
        held: bytes that it keeps.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0
        self._data: dict[Content, bytes] = {}
        self._names: dict[Name, Content] = {}
        self._uses: Counter[Content] = Counter()

    def put(self, name: Name, data: bytes) -> tuple[Content, list[Name]]:
        """Keep ``data`` under ``name``, a new one; return what it is known by, and the names that made room for it.

        Raises:
            OversizedError: it is larger than all the room there is.
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
        """Forget ``name``, and its content where it has no other; nothing where there is none."""
        content = self._names.pop(name, None)
        if content is None:
            return
        self._uses[content] -= 1
        if not self._uses[content]:
            del self._uses[content], self._data[content]
            self.held -= content.size

    def whole(self, name: Name) -> bytes:
        """Return the content that is called ``name``."""
        return self._data[self._names[name]]

    def part(self, content: Content, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of ``content`` from ``offset`` on.

        Raises:
            StaleError: it is not offered, or not any more.
            MalformedError: it has no such part.
        """
        data = self._data.get(content)
        if data is None:
            raise StaleError(f"the content {content.digest[:12]} is not offered here, or not any more")
        if offset + length > content.size:
            raise MalformedError(f"{length} bytes from {offset} on are asked for, of a content of {content.size}")
        return data[offset : offset + length]
