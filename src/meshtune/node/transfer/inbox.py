"""Neighbours' offers, in order: a node receives a neighbour's messages in the order in which they were sent.

So one offer per neighbour is handled at a time, the next one due; later ones wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshtune.errors import OversizedError, StaleError
from meshtune.node.transfer.transfer_messages import Content, Offer, Taken


@dataclass
class _Incoming:
    """One neighbour's offers in one of its sessions: the number that is due, and the offers that have arrived."""

    session: int
    due: int
    offers: dict[int, Offer] = field(default_factory=dict)


class Inbox:
    """Offers not handled yet.

    Args:
        window: maximum number of waiting offers per neighbour.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._lines: dict[int, _Incoming] = {}

    def put(self, sender: int, offer: Offer) -> None:
        """Keep an offer of ``sender`` unless it has already been handled.

        Raises:
            StaleError: it belongs to a past session of the sender.
            OversizedError: its number is too far ahead.
        """
        line = self._lines.get(sender)
        if line is not None and offer.session < line.session:
            raise StaleError(f"device {sender} offers something of a past session")
        if line is None or offer.session > line.session:
            line = self._lines[sender] = _Incoming(offer.session, offer.oldest)
        line.due = max(line.due, offer.oldest)
        line.offers = {number: one for number, one in line.offers.items() if number >= line.due}
        if offer.number >= line.due + self._window:
            raise OversizedError(f"device {sender} makes more than {self._window} offers at once")
        if offer.number >= line.due:
            line.offers.setdefault(offer.number, offer)

    def head(self, sender: int) -> Offer | None:
        """Return the offer of ``sender`` that is due, if it has arrived."""
        line = self._lines.get(sender)
        return None if line is None else line.offers.get(line.due)

    def pop(self, sender: int) -> None:
        """Record that the offer that was due has been handled."""
        line = self._lines[sender]
        del line.offers[line.due]
        line.due += 1

    def taken(self, sender: int) -> Taken:
        """Return the acknowledgement for ``sender``: how far its offers have been handled."""
        line = self._lines[sender]
        return Taken(line.session, line.due - 1)

    def wanted(self) -> dict[Content, list[int]]:
        """Return the contents of the offers that are due, each with the senders that offer it."""
        found: dict[Content, list[int]] = {}
        for sender in self._lines:
            offer = self.head(sender)
            if offer is not None:
                found.setdefault(offer.content, []).append(sender)
        return found

    def offering(self, content: Content) -> list[int]:
        """Return who offers ``content``, now or later."""
        lines = self._lines.items()
        return [sender for sender, line in lines if any(one.content == content for one in line.offers.values())]

    def forget(self, sender: int) -> None:
        """Drop the offers of ``sender``; how far they have been handled is kept in case it comes back."""
        if sender in self._lines:
            self._lines[sender].offers.clear()
