"""One round's exchange over links that cost nothing. What arrives damaged is told of and sent again when it is due."""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.node.node import Node
from meshtune.node.transport import Transport


def exchange(nodes: Sequence[Node], transport: Transport) -> None:
    """Let every node publish its update and send what its neighbours lack, and every node take in what arrives.

    Args:
        nodes: those of one method, in the order in which they send; their round has begun.
        transport: carries what they send.
    """
    for node in nodes:
        node.publish()
    at = {node.device: node for node in nodes}
    sending = [envelope for node in nodes for envelope in node.exchange()]
    while sending:
        for envelope in transport.carry(sending):
            at[envelope.receiver].receive(envelope.sender, envelope.data)
        sending = [envelope for node in nodes for envelope in node.corrections()]
