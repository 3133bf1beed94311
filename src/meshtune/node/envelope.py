"""What a node hands to its host to be sent, and what it makes of bytes that cannot be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Envelope:
    """One message on its way over one link.

    Attributes:
        sender: the device that sends it now.
        receiver: the device that it is for.
        source: the device whose content it is; not the sender where it is relayed.
        version: of the update in it; 0 where there is none.
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
        """Whether somebody else's content is passed on."""
        return self.source != self.sender
