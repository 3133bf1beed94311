"""One round's exchange over links that cost nothing. What arrives damaged is told of and sent again when it is due."""

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
        transport: carries what nodes send; by default this process's memory.
        listener: shown all that arrives.
    """

    def __init__(self, transport: Transport | None = None, listener: Listener | None = None) -> None:
        self._transport, self._listener = transport or MemoryTransport(), listener

    def exchange(self, method: Method, nodes: Sequence[Node], version: int, ledger: Ledger) -> None:
        """Let every node publish its update and send what its neighbours lack, and every node take in what arrives.

        Args:
            method: whose nodes.
            nodes: in the order in which they send; their round has begun.
            version: the number of rounds trained so far.
            ledger: counts what leaves a device.
        """
        transport = CountedTransport(self._transport, ledger, method.name, version)
        arrival = Inboxes(nodes, self._listener)
        for node in nodes:
            node.publish()
        sending = [envelope for node in nodes for envelope in node.exchange()]
        while sending:
            arrival.deliver(transport.carry(sending))
            sending = [envelope for node in nodes for envelope in node.corrections()]
