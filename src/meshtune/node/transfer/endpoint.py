"""One device's end of its links: envelopes go in on one side and come out on the other, whatever the links do.

A node hands over its envelopes as to any transport. A small envelope travels in its offer; a larger one is offered, and
the receiver fetches it in parts. Each envelope is delivered once, whole and in the order in which it was sent, or
counted as undelivered. There is no I/O here: a host passes in what arrives and calls :meth:`Endpoint.work` when due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from meshtune.errors import ForeignError, MalformedError, OversizedError, PayloadError, StaleError
from meshtune.node.clock import Clock
from meshtune.node.envelope import Envelope
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.fetcher import Fetcher
from meshtune.node.transfer.inbox import Inbox
from meshtune.node.transfer.liveness import Liveness
from meshtune.node.transfer.outbox import Outbox
from meshtune.node.transfer.transfer_messages import (
    ContentPart,
    KeepAlive,
    Offer,
    PartRequest,
    Taken,
    Transferred,
    read_transfer,
    write_transfer,
)
from meshtune.node.transport import PeerTransport


class Endpoint:
    """Transfers what one device sends and receives.

    Args:
        device: its id.
        transport: carries its messages.
        deliver: called with each arrival: the neighbour it came from, the bytes of an envelope, and the time in
            seconds, as :meth:`meshtune.node.node.Node.receive`. It may call :meth:`send`, but not :meth:`meet`.
        clock: tells the time.
        config: sizes and timeouts.
        federation: the federation of the device; messages of other federations are refused.
        session: a number that increases with each start of the device.

    Attributes:
        refused: number of refused messages and offers, by the name of the error.
        undelivered: per neighbour, how many of its contents were given up because nobody offered the right bytes.
    """

    def __init__(
        self,
        device: int,
        transport: PeerTransport,
        deliver: Callable[[int, bytes, float], None],
        clock: Clock,
        config: TransferConfig | None = None,
        federation: str = "meshtune",
        session: int = 0,
    ) -> None:
        self.device, self.config = device, config or TransferConfig()
        self.refused: Counter[str] = Counter()
        self.undelivered: Counter[int] = Counter()
        self._transport, self._deliver, self._clock = transport, deliver, clock
        self._federation, self._session = federation, session
        self._neighbours: frozenset[int] = frozenset()
        self._liveness = Liveness(self.config.silence, clock)
        self._outbox = Outbox(self.config, clock, session)
        self._inbox = Inbox(self.config.window)
        self._fetcher = Fetcher(self.config, clock)
        self._alive_at = clock.now()

    @property
    def gone(self) -> frozenset[int]:
        """Neighbours that have been silent for too long."""
        return frozenset(self._liveness.gone)

    @property
    def pending(self) -> int:
        """How many envelopes neighbours have not acknowledged."""
        return len(self._outbox)

    def meet(self, neighbours: Collection[int]) -> None:
        """Set the linked neighbours to exactly ``neighbours``; transfers with others are dropped."""
        for one in self._neighbours - set(neighbours):
            self._outbox.forget(one)
            self._inbox.forget(one)
            self._fetcher.forget(one)
        for one in set(neighbours) - self._neighbours:
            self._fetcher.join(one)
        self._neighbours = frozenset(neighbours)
        self._liveness.watch(self._neighbours)
        self._want()

    def send(self, envelopes: Sequence[Envelope]) -> None:
        """Send ``envelopes`` to neighbours; those for other devices are dropped, as there is no link.

        Raises:
            OversizedError: one is larger than the whole content store.
        """
        for one in envelopes:
            if one.receiver in self._neighbours:
                self._outbox.put(one)
        self._flow()

    def receive(self, sender: int, data: bytes) -> None:
        """Process a message that came over the link of ``sender``; an invalid one is refused and counted."""
        try:
            said = self._read(sender, data)
            if isinstance(said, Offer):
                self._inbox.put(sender, said)
                self._go_on(sender)
                if said.number <= self._inbox.taken(sender).number:
                    self._acknowledge(sender)
            elif isinstance(said, Taken):
                self._on_taken(sender, said)
            elif isinstance(said, ContentPart):
                self._on_part(sender, said)
            elif isinstance(said, PartRequest):
                raise MalformedError(f"device {sender} requested a part where no reply is possible")
        except PayloadError as error:
            self.refused[type(error).__name__] += 1
        self._flow()

    def answer(self, sender: int, data: bytes) -> bytes | None:
        """Return the reply to ``sender``'s request for a part; None if the request is refused."""
        try:
            asked = self._read(sender, data)
            if not isinstance(asked, PartRequest):
                raise MalformedError(f"device {sender} did not send a request for a part")
            try:
                part: bytes | None = self._outbox.store.part(asked.content, asked.offset, asked.length)
            except StaleError:
                part = None
            self._outbox.on_fetch(sender, asked.content)
            return self._write(ContentPart(asked.content, asked.offset, part))
        except PayloadError as error:
            self.refused[type(error).__name__] += 1
            return None

    def work(self) -> float:
        """Do what is due; return the latest time at which to call again, in seconds of the clock."""
        now = self._clock.now()
        for one in self._liveness.lapsed():
            self._fetcher.leave(one)
        if self._alive_at <= now:
            self._transport.alive(self._write(KeepAlive()))
            self._alive_at = now + self.config.keep_alive
        self._flow()
        there = self._neighbours - self._liveness.gone
        moments = [self._liveness.deadline(), self._fetcher.deadline(), *map(self._outbox.deadline, there)]
        return min([self._alive_at, *(moment for moment in moments if moment is not None)])

    def _read(self, sender: int, data: bytes) -> Transferred:
        if sender not in self._neighbours:
            raise ForeignError(f"device {sender} is not a neighbour of device {self.device}")
        if self._liveness.heard(sender):
            self._fetcher.join(sender)
            self._outbox.remind(sender)
        return read_transfer(data, sender, self._federation)

    def _write(self, said: Transferred) -> bytes:
        return write_transfer(said, self.device, self._federation)

    def _on_taken(self, sender: int, said: Taken) -> None:
        if said.session != self._session:
            raise StaleError(f"device {sender} acknowledges something of another session")
        if not self._outbox.on_taken(sender, said.number):
            raise MalformedError(f"device {sender} acknowledges number {said.number}, which it was not offered")

    def _on_part(self, sender: int, part: ContentPart) -> None:
        data = self._fetcher.take(sender, part)
        if data is not None:
            senders = self._inbox.wanted().get(part.content, [])
            for one in senders:
                self._inbox.pop(one)
            for one in senders:
                self._deliver(one, data, self._clock.now())
                self._go_on(one)
                self._acknowledge(one)

    def _acknowledge(self, sender: int) -> None:
        self._transport.announce(sender, self._write(self._inbox.taken(sender)))

    def _go_on(self, sender: int) -> None:
        """Handle the offers of ``sender`` that are due and complete, and fetch the contents that are missing."""
        while (offer := self._inbox.head(sender)) is not None:
            if offer.data is None and offer.content.size <= self.config.largest:
                break
            self._inbox.pop(sender)
            if offer.data is None:
                self.refused[OversizedError.__name__] += 1
            else:
                self._deliver(sender, offer.data, self._clock.now())
        self._want()

    def _want(self) -> None:
        wanted = self._inbox.wanted()
        for content in wanted:
            self._fetcher.want(content, self._inbox.offering(content))
        self._fetcher.keep(wanted)

    def _flow(self) -> None:
        """Send the offers and requests that are due; contents that nobody has are given up."""
        while failed := self._fetcher.failed():
            wanted = self._inbox.wanted()
            for sender in {sender for content in failed for sender in wanted.get(content, [])}:
                self.undelivered[sender] += 1
                self._inbox.pop(sender)
                self._go_on(sender)
                self._acknowledge(sender)
        for one in self._neighbours - self._liveness.gone:
            for offer in self._outbox.due(one):
                self._transport.announce(one, self._write(offer))
        for one, request in self._fetcher.requests():
            self._transport.fetch(one, self._write(request))
