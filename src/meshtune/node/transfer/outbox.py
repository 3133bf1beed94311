"""A device's offers to its neighbours: numbered per link, repeated until acknowledged, replaced by newer ones.

A newer update replaces an older one from the same source that the neighbour has not begun to fetch. A fetch that has
begun is left alone; otherwise a slow link would never finish one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from meshtune.node.clock import Clock
from meshtune.node.envelope import Envelope
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.content_store import ContentStore
from meshtune.node.transfer.transfer_messages import Content, Offer


@dataclass
class _Pending:
    """An unacknowledged offer: when it is next sent, and how long it waits after that."""

    source: int
    version: int
    content: Content
    due: float
    wait: float
    begun: bool = False

    def outdated(self, by: Envelope) -> bool:
        """Return whether ``by`` holds a newer version of this update, provided nobody has begun to fetch this one."""
        return not self.begun and self.source == by.source and 0 < self.version < by.version


class Outbox:
    """All offers that neighbours have not acknowledged.

    Args:
        config: sizes and timeouts.
        clock: tells the time.
        session: increases with each start of the device.

    Attributes:
        store: the contents.
    """

    def __init__(self, config: TransferConfig, clock: Clock, session: int) -> None:
        self._config, self._clock, self._session = config, clock, session
        self.store = ContentStore(config.store)
        self._pending: dict[int, dict[int, _Pending]] = {}
        self._count: dict[int, int] = {}
        self._taken: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._pending.values()))

    def put(self, envelope: Envelope) -> None:
        """Offer ``envelope`` to its receiver.

        Raises:
            OversizedError: it is larger than the whole content store.
        """
        receiver, now = envelope.receiver, self._clock.now()
        pending = self._pending.setdefault(receiver, {})
        self._withdraw(receiver, [old for old, one in pending.items() if one.outdated(envelope)])
        number = self._count.get(receiver, 0) + 1
        content, gone = self.store.put((receiver, number), envelope.data)
        self._count[receiver] = number
        for neighbour, old in gone:
            self._withdraw(neighbour, [old])
        pending[number] = _Pending(envelope.source, envelope.version, content, now, self._config.timeout)

    def due(self, neighbour: int) -> list[Offer]:
        """Return the offers to send ``neighbour`` now; each is repeated later, doubling the wait every time."""
        now, found = self._clock.now(), []
        oldest = next(iter(self._pending.get(neighbour, {})), 0)
        for number, one in self._open(neighbour):
            if one.due > now:
                continue
            one.due, one.wait = now + one.wait, min(2 * one.wait, max(self._config.silence, self._config.timeout))
            small = one.content.size <= self._config.whole
            data = self.store.whole((neighbour, number)) if small else None
            found.append(Offer(self._session, number, oldest, one.source, one.version, one.content, data))
        return found

    def on_taken(self, neighbour: int, number: int) -> bool:
        """Record that ``neighbour`` needs nothing up to ``number``; return False if that was never offered."""
        if number > self._count.get(neighbour, 0):
            return False
        self._taken[neighbour] = max(number, self._taken.get(neighbour, 0))
        if neighbour in self._pending:
            self._withdraw(neighbour, [one for one in self._pending[neighbour] if one <= number])
        return True

    def on_fetch(self, neighbour: int, content: Content) -> None:
        """Record that ``neighbour`` fetches ``content``, and so knows of the offer."""
        for one in self._pending.get(neighbour, {}).values():
            if one.content == content:
                one.begun, one.due = True, self._clock.now() + one.wait

    def remind(self, neighbour: int) -> None:
        """Repeat all offers: ``neighbour`` may have missed them."""
        for one in self._pending.get(neighbour, {}).values():
            one.due, one.wait = self._clock.now(), self._config.timeout

    def forget(self, neighbour: int) -> None:
        """Drop all offers to ``neighbour``."""
        for number in self._pending.pop(neighbour, {}):
            self.store.remove((neighbour, number))

    def deadline(self, neighbour: int) -> float | None:
        """Return when the next offer to ``neighbour`` is due; None if it has acknowledged everything."""
        return min((one.due for _, one in self._open(neighbour)), default=None)

    def _open(self, neighbour: int) -> Iterator[tuple[int, _Pending]]:
        """Return the offers to ``neighbour`` inside the window."""
        pending = self._pending.get(neighbour, {})
        end = next(iter(pending), 0) + self._config.window
        return takewhile(lambda one: one[0] < end, pending.items())

    def _withdraw(self, neighbour: int, numbers: Iterable[int]) -> None:
        """Withdraw the offers ``numbers``; a neighbour that would wait for one is sent the next offer instead."""
        pending = self._pending[neighbour]
        before = next(iter(pending), None)
        for number in numbers:
            del pending[number]
            self.store.remove((neighbour, number))
        first = next(iter(pending), None)
        if first is not None and first != before and first > self._taken.get(neighbour, 0) + 1:
            pending[first].due = self._clock.now()
