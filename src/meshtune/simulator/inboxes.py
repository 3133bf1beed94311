"""Delivers arriving envelopes to the nodes of one method, and shows them to a listener."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from meshtune.node.envelope import Envelope
from meshtune.node.node import Node

Listener = Callable[[float, Envelope], None]
"""Called with the method's clock in seconds at the start of the exchange, and with every envelope that arrives."""


class Inboxes:
    """The receiving end of all links of one method.

    Args:
        nodes: its nodes.
        listener: called with every envelope, before its receiver processes it.
    """

    def __init__(self, nodes: Sequence[Node], listener: Listener | None = None) -> None:
        self._at = {node.device: node for node in nodes}
        self._listener = listener

    def deliver(self, envelopes: Iterable[Envelope], now: float = 0.0) -> None:
        """Deliver ``envelopes`` to their receivers; what they refuse is counted and changes nothing."""
        for one in envelopes:
            self._show(one, now)
            self._at[one.receiver].receive(one.sender, one.data, now)

    def require(self, envelopes: Iterable[Envelope], now: float = 0.0) -> None:
        """Deliver ``envelopes`` to their receivers, none of which may refuse one.

        Raises:
            PayloadError: a receiver refused one.
        """
        for one in envelopes:
            self._show(one, now)
            self._at[one.receiver].process(one.sender, one.data)

    def _show(self, one: Envelope, now: float) -> None:
        if self._listener is not None:
            self._listener(now, one)
