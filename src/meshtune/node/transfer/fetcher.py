"""Pulls contents in parts, without I/O: decides what to request from whom, accepts what arrives, resumes fetches.

A neighbour is asked for a few parts at a time. A part that times out, or whose holder leaves, is requested again, from
another holder of the content if there is one. Memory is bounded: a fetch starts only when the whole content fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from meshtune.errors import ForeignError, StaleError
from meshtune.node.clock import Clock
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.download import Download
from meshtune.node.transfer.transfer_messages import Content, ContentPart, PartRequest

_REMEMBERED = 64  # contents most recently fetched or given up: their late parts are stale, all others foreign


class Fetcher:
    """What one device fetches from all its neighbours.

    Args:
        config: sizes and timeouts.
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
        """Bytes of the contents whose fetch has begun: an upper bound on memory until they are assembled."""
        return sum(content.size for content, one in self._downloads.items() if one.begun)

    def want(self, content: Content, holders: Iterable[int]) -> None:
        """Fetch ``content`` from any of ``holders`` or of the holders already known."""
        if content not in self._downloads:
            self._downloads[content] = Download(content, self._config.part)
        self._downloads[content].offer(holders)

    def keep(self, wanted: Collection[Content]) -> None:
        """Give up everything except ``wanted``."""
        for content in self._downloads.keys() - wanted:
            self._end(content)

    def join(self, neighbour: int) -> None:
        """Start asking ``neighbour``."""
        self._there.add(neighbour)

    def leave(self, neighbour: int) -> None:
        """Stop asking ``neighbour`` until it joins again; its outstanding parts are requested from others."""
        self._there.discard(neighbour)
        for content, offset in self._flights.pop(neighbour, {}):
            if content in self._downloads:
                self._downloads[content].lose(offset)

    def forget(self, neighbour: int) -> None:
        """Stop asking ``neighbour``, which is no longer one, and discard its offers."""
        self.leave(neighbour)
        for download in self._downloads.values():
            download.withdraw(neighbour)

    def requests(self) -> list[tuple[int, PartRequest]]:
        """Return the requests to send now; each counts as in flight until its part arrives or times out."""
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
        """Accept a part; return its content if that is now complete and matches the offer.

        Raises:
            StaleError: its content is no longer being fetched.
            ForeignError: ``sender`` was not asked for it.
            MalformedError: it is not the part that was requested.
        """
        content, offset = part.content, part.offset
        asked = self._flights.get(sender, {}).pop((content, offset), None) is not None
        download = self._downloads.get(content)
        if download is None:
            if asked:
                return None
            if content in self._past:
                raise StaleError(f"device {sender} sent a part of a content that is no longer fetched")
            raise ForeignError(f"device {sender} sent a part of a content that is not being fetched")
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
        """Give up and return the contents that no trusted device offers."""
        found = [content for content, download in self._downloads.items() if not download.holders]
        for content in found:
            self._end(content)
        return found

    def deadline(self) -> float | None:
        """Return when the next part times out; None if no part is in flight."""
        return min((time for flights in self._flights.values() for time in flights.values()), default=None)

    def _room(self, neighbour: int) -> bool:
        return len(self._flights.get(neighbour, ())) < self._config.in_flight

    def _begin(self, download: Download) -> bool:
        """Return whether ``download`` has begun or can begin now; stalled downloads make room for it."""
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
