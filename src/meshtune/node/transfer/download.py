"""One content being fetched: which parts have arrived, from whom, and whose bytes can be trusted.

A part's frame reveals damage in transit. The digest of the whole content reveals a holder whose own bytes are wrong.
After the first wrong content, everything is fetched from a single holder at a time. A holder that is wrong twice is not
asked again.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from meshtune.errors import ForeignError, MalformedError
from meshtune.node.transfer.transfer_messages import Content, content_of

_STRIKES = 2  # wrong contents from one holder before it is no longer asked


@dataclass
class _Holder:
    """The record of one holder of the content: parts that timed out, and wrong contents."""

    late: int = 0
    wrong: int = 0


class Download:
    """A content being fetched.

    Args:
        content: its key.
        part: bytes of a part; the last one may be shorter.

    Attributes:
        holders: the trusted devices that offer it.
        begun: whether parts may be requested, because there is room for all of them.
    """

    def __init__(self, content: Content, part: int) -> None:
        self.content = content
        self.holders: dict[int, _Holder] = {}
        self.begun = False
        self._part = part
        self._count = -(-content.size // part)
        self._disbelieved: set[int] = set()
        self._asked: set[tuple[int, int]] = set()
        self._flying: set[int] = set()
        self._parts: dict[int, bytes] = {}
        self._missing = list(range(self._count))  # a heap; may still list parts that have arrived
        self._came: set[int] = set()
        self._single = False
        self._only: int | None = None

    def offer(self, holders: Iterable[int]) -> None:
        """Add ``holders`` to those that offer the content."""
        for one in holders:
            if one not in self._disbelieved:
                self.holders.setdefault(one, _Holder())

    def disbelieve(self, holder: int) -> None:
        """Ask ``holder`` for nothing more."""
        self.holders.pop(holder, None)
        self._disbelieved.add(holder)

    def withdraw(self, holder: int) -> None:
        """Record that ``holder`` cannot be asked at the moment; it may offer the content again."""
        self.holders.pop(holder, None)

    def choose(self, there: Collection[int]) -> list[int]:
        """Return which of the holders ``there`` to ask, the best first."""
        able = [one for one in self.holders if one in there]
        able.sort(key=lambda one: (self.holders[one].wrong, self.holders[one].late, one))
        if not self._single:
            return able
        if self._only not in able:
            if not able:
                return []
            self._only = able[0]
            self.drop()
        return [self._only]

    def ask(self, holder: int) -> tuple[int, int] | None:
        """Mark the next part as requested from ``holder``; return its offset and length, None if there is none."""
        while self._missing:
            index = heapq.heappop(self._missing)
            if index not in self._parts and index not in self._flying:
                self._flying.add(index)
                self._asked.add((holder, index))
                return index * self._part, self._length(index)
        return None

    def lose(self, offset: int, late: int | None = None) -> None:
        """Record that a requested part will not arrive; ``late`` is the holder that timed out."""
        index = offset // self._part
        self._flying.discard(index)
        heapq.heappush(self._missing, index)
        if late in self.holders:
            self.holders[late].late += 1

    def put(self, holder: int, offset: int, data: bytes) -> None:
        """Keep a part that arrived.

        Raises:
            ForeignError: it was never requested from ``holder``, or ``holder`` is not trusted.
            MalformedError: it is not a part, or has the wrong length.
        """
        index = offset // self._part
        if holder not in self.holders or (holder, index) not in self._asked:
            raise ForeignError(f"device {holder} sent a part that was not requested from it")
        if offset % self._part or len(data) != self._length(index):
            raise MalformedError(
                f"device {holder} sent {len(data)} bytes from {offset} on, which do not match the request"
            )
        if self.begun and not (self._single and holder != self._only):
            self._parts.setdefault(index, data)
            self._came.add(holder)

    def finish(self) -> bytes | None:
        """Return the content if it is complete and matches the offer; otherwise prepare to continue."""
        if len(self._parts) < self._count:
            return None
        data = b"".join(self._parts[index] for index in range(self._count))
        if content_of(data) == self.content:
            return data
        if len(self._came) == 1:
            (liar,) = self._came
            if liar in self.holders:
                self.holders[liar].wrong += 1
                if self.holders[liar].wrong >= _STRIKES:
                    self.disbelieve(liar)
        self._single, self._only = True, None
        self.drop()
        return None

    def drop(self) -> None:
        """Discard the parts that have arrived."""
        self._parts.clear()
        self._came.clear()
        self._missing = [index for index in range(self._count) if index not in self._flying]

    def _length(self, index: int) -> int:
        return min(self._part, self.content.size - index * self._part)
