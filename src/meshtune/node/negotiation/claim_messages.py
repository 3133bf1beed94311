"""Proposals and claims of negotiated masks as messages: encoding, and validation on decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.mask import join, pack
from meshtune.adapter.mask_claims import Mask
from meshtune.methods.state import Masks
from meshtune.node.negotiation.negotiation_schedule import Kind
from meshtune.node.receiving import coded_mask, read_mask
from meshtune.wire.payload import Message, byte_tensor
from meshtune.wire.plain_values import fact, text
from meshtune.wire.positions import encode_positions
from meshtune.wire.validation import Receiver, check_envelope


@dataclass(frozen=True, eq=False)
class CodedMask:
    """A mask as it is sent.

    Attributes:
        data: coded positions.
        mask: per layer, sorted flat positions.
        bits: (ceil(sum of d r / 8),) one bit per position, all layers concatenated.
    """

    data: bytes
    mask: Masks
    bits: NDArray[np.uint8]

    @classmethod
    def read(cls, data: bytes, sizes: Sequence[int]) -> CodedMask:
        """Return the mask coded in ``data``; ``sizes`` is d r of every layer.

        Raises:
            PayloadError: it is damaged, or belongs to another model or rank.
        """
        mask = read_mask(data, sizes)
        return cls(data, tuple(mask), pack(mask, sizes))


def code_mask(mask: Mask, sizes: Sequence[int]) -> bytes:
    """The inverse of :meth:`CodedMask.read`."""
    return encode_positions(join(mask, sizes), sum(sizes))


def claim_message(kind: Kind, device: int, coded: bytes, group: str | None = None) -> Message:
    """Return ``device``'s proposal or, with ``group``, its claim for that group."""
    meta = {} if group is None else {"group": group}
    return Message(kind, device, 0, device, meta, {"mask": byte_tensor(coded)})


def kind_of(message: Message) -> Kind:
    """Return the kind of ``message``; any other kind counts as a claim, which :func:`coded_claim` then refuses."""
    return "proposal" if message.kind == "proposal" else "claim"


def coded_claim(message: Message, kind: Kind, receiver: Receiver) -> bytes:
    """Return the coded mask in a proposal or claim.

    Raises:
        PayloadError: the kind, round or sender is wrong, the mask is missing, or a claim names no group.
    """
    check_envelope(message, kind, receiver)
    if kind == "claim":
        text(fact(message.meta, "group"), f"the group of device {message.source}")
    return coded_mask(message)
