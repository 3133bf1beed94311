"""Pulls contents in parts, without I/O: says what to ask of whom, takes in what comes, resumes what was broken off.

A neighbour is asked for a few parts at a time. What it does not answer in time, or before it goes, is asked again, of
another one that offers the same content where there is one. Memory is bounded: a content is begun when all of it fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from meshtune.errors import ForeignError, StaleError
from meshtune.node.clock import Clock
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.download import Download
from meshtune.node.transfer.transfer_messages import Content, ContentPart, PartRequest

_REMEMBERED = 64  # contents that were fetched or given up last: their late parts are stale, others are foreign


class Fetcher:
    """What one device fetches from all its neighbours.

    Args:
        config: sizes and time-outs.
        clock: tells the time.
    """

    def __init__(self, config: TransferConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._downloads: dict[Content, Download] = {}
        self._flights: dict[int, dict[tuple[Content, int], float]] = {}
        self._there: set[int] = set()
        self._past: deque[Content] = deque(maxlen=_REMEMBERED)

    @property
    def reserved(self) -> int:
        """Bytes of the contents that have been begun: so much memory they take at most, until they are put together."""
        return sum(content.size for content, one in self._downloads.items() if one.begun)

    def want(self, content: Content, holders: Iterable[int]) -> None:
        """Fetch ``content`` of any of ``holders``, in addition to those that are known to offer it."""
        if content not in self._downloads:
            self._downloads[content] = Download(content, self._config.part)
        self._downloads[content].offer(holders)

    def keep(self, wanted: Collection[Content]) -> None:
        """Give up everything else than ``wanted``."""
        for content in self._downloads.keys() - wanted:
            self._end(content)

    def join(self, neighbour: int) -> None:
        """Ask ``neighbour`` from now on."""
        self._there.add(neighbour)

    def leave(self, neighbour: int) -> None:
        """Ask ``neighbour`` for nothing until it joins again; what it was asked for is asked of others."""
        self._there.discard(neighbour)
        for content, offset in self._flights.pop(neighbour, {}):
            if content in self._downloads:
                self._downloads[content].lose(offset)

    def forget(self, neighbour: int) -> None:
        """Take note that ``neighbour`` is none any more, whatever it offered."""
        self.leave(neighbour)
        for download in self._downloads.values():
            download.withdraw(neighbour)

    def requests(self) -> list[tuple[int, PartRequest]]:
        """Return what to ask of whom now; it counts as in flight until it comes or times out."""
        now = self._clock.now()
        self._time_out(now)
        found = []
        for content, download in self._downloads.items():
            while self._begin(download):
                free = [one for one in download.choose(self._there) if self._room(one)]
                if not free:
                    break
                part = download.ask(free[0])
                if part is None:
                    break
                offset, length = part
                self._flights.setdefault(free[0], {})[content, offset] = now + self._config.timeout
                found.append((free[0], PartRequest(content, offset, length)))
        return found

    def take(self, sender: int, part: ContentPart) -> bytes | None:
        """Take in a part; return its content, if that is complete and the one that was offered.

        Raises:
            StaleError: its content is not fetched any more.
            ForeignError: nobody asked ``sender`` for it.
            MalformedError: it is another one than was asked for.
        """
        content, offset = part.content, part.offset
        asked = self._flights.get(sender, {}).pop((content, offset), None) is not None
        download = self._downloads.get(content)
        if download is None:
            if asked:
                return None
            if content in self._past:
                raise StaleError(f"device {sender} sent a part of a content that is not fetched any more")
            raise ForeignError(f"device {sender} sent a part of a content that nobody fetches")
        if asked:
            download.lose(offset)
        if part.data is None:
            if sender not in download.holders:
                raise ForeignError(f"device {sender} lacks a content that it did not offer")
            download.disbelieve(sender)
            return None
        download.put(sender, offset, part.data)
        data = download.finish()
        if data is not None:
            self._end(content)
        return data

    def failed(self) -> list[Content]:
        """Return what cannot be fetched, as nobody who can be believed offers it; it is given up."""
        found = [content for content, download in self._downloads.items() if not download.holders]
        for content in found:
            self._end(content)
        return found

    def deadline(self) -> float | None:
        """Return the moment at which the next part times out; None where none is in flight."""
        return min((time for flights in self._flights.values() for time in flights.values()), default=None)

    def _room(self, neighbour: int) -> bool:
        return len(self._flights.get(neighbour, ())) < self._config.in_flight

    def _begin(self, download: Download) -> bool:
        """Return whether ``download`` has been begun, or can be: what nobody there can go on with makes room."""
        if download.begun or not download.choose(self._there):
            return download.begun
        room = self._config.memory - download.content.size
        for other in self._downloads.values():
            if self.reserved <= room:
                break
            if other.begun and not other.choose(self._there):
                other.begun = False
                other.drop()
        download.begun = self.reserved <= room
        return download.begun

    def _time_out(self, now: float) -> None:
        for neighbour, flights in self._flights.items():
            for content, offset in [key for key, time in flights.items() if time <= now]:
                del flights[content, offset]
                if content in self._downloads:
                    self._downloads[content].lose(offset, neighbour)

    def _end(self, content: Content) -> None:
        del self._downloads[content]
        self._past.append(content)
