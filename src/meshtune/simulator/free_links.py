"""One round's exchange over free links. A refused message is reported, and sent again when it is next due."""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.methods.base import Method
from meshtune.node.node import Node
from meshtune.node.transport import CountedTransport, MemoryTransport, Transport
from meshtune.simulator.inboxes import Inboxes, Listener
from meshtune.wire.ledger import Ledger


class FreeExchange:
    """Carries the rounds of a run over links that always deliver.

    Args:
        transport: carries what nodes send; by default within this process's memory.
        listener: called with every envelope that arrives.
    """

    def __init__(self, transport: Transport | None = None, listener: Listener | None = None) -> None:
        self._transport, self._listener = transport or MemoryTransport(), listener

    def exchange(self, method: Method, nodes: Sequence[Node], version: int, ledger: Ledger) -> None:
        """Let every node publish its update and send what its neighbours lack, and deliver everything.

        Args:
            method: the nodes' method.
            nodes: in sending order; their round has begun.
            version: the number of rounds trained so far.
            ledger: counts the bytes sent.
        """
        transport = CountedTransport(self._transport, ledger, method.name, version)
        arrival = Inboxes(nodes, self._listener)
        for node in nodes:
            node.publish()
        sending = [envelope for node in nodes for envelope in node.exchange()]
        while sending:
            arrival.deliver(transport.carry(sending))
            sending = [envelope for node in nodes for envelope in node.corrections()]
