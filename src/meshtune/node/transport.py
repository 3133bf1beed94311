"""How envelopes get from node to node: an interface, the transport of a process's memory, and one that counts."""

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
