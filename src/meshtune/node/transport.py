"""How envelopes travel between nodes, in one process and between peers.

The hosts of a simulation hand over whole envelopes (:class:`Transport`). There a fetch is one transmission, charged by
the size of what is fetched; offers, requests and acknowledgements are not charged. Links between peers lose, duplicate
and reorder messages, so nothing large is pushed over them. A peer transport (:class:`PeerTransport`) has three verbs
for small messages, and :mod:`meshtune.node.transfer` builds a transport of envelopes on top of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshtune.node.envelope import Envelope
from meshtune.wire.ledger import Ledger


class Transport(Protocol):
    """Carries envelopes."""

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """Send ``envelopes``, all at the same time; return those that arrive, in the same order."""
        ...


class PeerTransport(Protocol):
    """Carries one device's messages to its neighbours on a best-effort basis; no verb raises or waits.

    A message may be lost, duplicated, delayed or reordered. The transport hands each message to the receiver's endpoint
    (:class:`meshtune.node.transfer.endpoint.Endpoint`) together with the neighbour it came from. Requests for a part go
    to ``answer``, whose bytes are returned to the requester; everything else goes to ``receive``.
    """

    def announce(self, receiver: int, data: bytes) -> None:
        """Send a small message to ``receiver``: an offer or an acknowledgement."""
        ...

    def fetch(self, holder: int, data: bytes) -> None:
        """Ask ``holder`` for a part of a content; the reply arrives later like any other message."""
        ...

    def alive(self, data: bytes) -> None:
        """Tell all devices in reach that this device is alive."""
        ...


class MemoryTransport:
    """Links that always deliver every envelope unchanged."""

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """See :meth:`Transport.carry`."""
        return envelopes


class CountedTransport:
    """Records in a ledger everything that another transport is given to carry.

    Args:
        transport: the other transport.
        ledger: counts the bytes, by kind.
        method: the method they are charged to.
        round: the round they are charged to.
    """

    def __init__(self, transport: Transport, ledger: Ledger, method: str, round: int) -> None:
        self._transport, self._ledger = transport, ledger
        self._method, self._round = method, round

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """See :meth:`Transport.carry`."""
        for one in envelopes:
            self._ledger.record(self._method, self._round, one.sender, one.receiver, one.split, one.relayed)
        return self._transport.carry(envelopes)
