"""How envelopes get from node to node, in one process and between peers.

The hosts of a simulation hand whole envelopes over (:class:`Transport`): a fetch is one transmission there, charged as
what is fetched, and offers, requests and acknowledgements are not charged. Peers have links that lose, repeat and
reorder, so nothing large is pushed over them: a peer transport (:class:`PeerTransport`) has three verbs for small
messages, and :mod:`meshtune.node.transfer` makes of them a transport of envelopes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshtune.node.envelope import Envelope
from meshtune.wire.ledger import Ledger


class Transport(Protocol):
    """Carries envelopes."""

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """Send ``envelopes``, all at the same time; return those that arrive, as they arrive, in their order."""
        ...


class PeerTransport(Protocol):
    """Carries the messages of one device to its neighbours, as far as it can; no verb raises or waits.

    A message may be lost, come twice, late or in another order. What comes is handed to the endpoint of the device
    that it is for (:class:`meshtune.node.transfer.endpoint.Endpoint`) with the neighbour that it came from: what asks
    for a part to ``answer``, whose bytes go back to who asked, and everything else to ``receive``.
    """

    def announce(self, receiver: int, data: bytes) -> None:
        """Send a small message to ``receiver``: an offer, or that one has been taken."""
        ...

    def fetch(self, holder: int, data: bytes) -> None:
        """Ask ``holder`` for a part of a content; what it answers comes later, as any message does."""
        ...

    def alive(self, data: bytes) -> None:
        """Tell all who are in reach that this device is there."""
        ...


class MemoryTransport:
    """Links that always deliver: every envelope arrives as it was sent."""

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """See :meth:`Transport.carry`."""
        return envelopes


class CountedTransport:
    """Counts in a ledger what another transport is given to carry.

    Args:
        transport: which.
        ledger: counts the bytes, by kind.
        method: whose they are.
        round: the round that they are counted in.
    """

    def __init__(self, transport: Transport, ledger: Ledger, method: str, round: int) -> None:
        self._transport, self._ledger = transport, ledger
        self._method, self._round = method, round

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """See :meth:`Transport.carry`."""
        for one in envelopes:
            self._ledger.record(self._method, self._round, one.sender, one.receiver, one.split, one.relayed)
        return self._transport.carry(envelopes)
