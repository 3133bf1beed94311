"""What a node hands to its host to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Envelope:
    """One message on its way over one link.

    Attributes:
        sender: the device that sends it now.
        receiver: the device it is addressed to.
        source: the device whose content it is; differs from the sender if relayed.
        version: version of the update in it; 0 if it carries none.
        data: the encoded message.
        split: bytes of ``data`` by kind, for the ledger.
    """

    sender: int
    receiver: int
    source: int
    version: int
    data: bytes
    split: Mapping[str, int]

    @property
    def relayed(self) -> bool:
        """Whether it relays another device's content."""
        return self.source != self.sender
