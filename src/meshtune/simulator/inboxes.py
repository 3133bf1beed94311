"""Hands what arrives to the nodes of one method, and shows it to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from meshtune.node.envelope import Envelope
from meshtune.node.node import Node

Listener = Callable[[float, Envelope], None]
"""Shown every envelope that arrives, and the seconds on the clock of its method at which the exchange began."""


class Inboxes:
    """The receiving end of all links of one method.

    Args:
        nodes: its nodes.
        listener: shown all that arrives, before its receiver takes it in.
    """

    def __init__(self, nodes: Sequence[Node], listener: Listener | None = None) -> None:
        self._at = {node.device: node for node in nodes}
        self._listener = listener

    def deliver(self, envelopes: Iterable[Envelope], now: float = 0.0) -> None:
        """Let receivers take in ``envelopes``, which arrived; what they refuse is counted, and changes nothing."""
        for one in envelopes:
            self._show(one, now)
            self._at[one.receiver].receive(one.sender, one.data, now)

    def require(self, envelopes: Iterable[Envelope], now: float = 0.0) -> None:
        """Let receivers take in ``envelopes``, of which none may be refused.

        Raises:
            PayloadError: one is.
        """
        for one in envelopes:
            self._show(one, now)
            self._at[one.receiver].take(one.sender, one.data)

    def _show(self, one: Envelope, now: float) -> None:
        if self._listener is not None:
            self._listener(now, one)
