"""What crosses the air: one documented, versioned frame around a safetensors block; never pickle (docs/payload.md).

Frame: 4 bytes magic ``MTUN``, 1 byte version, then a safetensors block whose ``__metadata__`` carries kind, sender, round,
source and a small JSON object. Every size is checked against limits before anything is allocated.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_block
from safetensors.torch import save as save_block
from torch import Tensor

from meshtune.errors import MeshtuneError

MAGIC = b"MTUN"
VERSION = 1
KINDS = ("announce", "router", "update")
DTYPES = {"BF16": 2, "F16": 2, "F32": 4, "U8": 1, "I8": 1, "I32": 4, "I64": 8}
_PREFIX = len(MAGIC) + 1


class PayloadError(MeshtuneError):
    """Bytes that are no message of this format, or a message beyond the limits."""


@dataclass(frozen=True)
class Limits:
    """What a receiver accepts: bytes of the whole, of the header, and tensors."""

    total: int = 1 << 30
    header: int = 1 << 20
    tensors: int = 64


@dataclass(frozen=True)
class Message:
    """One message between two devices.

    Attributes:
        kind: ``announce`` (who I am, my mask), ``router`` (my task statistics), ``update`` (my expert's values).
        sender: the device that sends it now.
        round: the round it is sent in; 0 before the first.
        source: the device whose content it is; not the sender where it is relayed.
        meta: small JSON-able facts.
        tensors: named tensors.
    """

    kind: str
    sender: int
    round: int
    source: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def encode(message: Message) -> bytes:
    """Return the message as bytes.

    Raises:
        PayloadError: the kind or an element type is not part of the format.
    """
    if message.kind not in KINDS:
        raise PayloadError(f"a message of kind {message.kind} is not part of the format: {', '.join(KINDS)}")
    head = [message.kind, message.sender, message.round, message.source, dict(message.meta)]
    block = save_block(
        {name: tensor.detach().cpu().contiguous() for name, tensor in message.tensors.items()},
        {"m": json.dumps(head, separators=(",", ":"), ensure_ascii=False)},
    )
    _header(block, Limits(header=len(block)))
    return MAGIC + bytes([VERSION]) + block


def decode(data: bytes, limits: Limits | None = None) -> Message:
    """Return the message in ``data``.

    Raises:
        PayloadError: it is damaged, of another version, or beyond ``limits``.
    """
    bounds = limits or Limits()
    if len(data) > bounds.total:
        raise PayloadError(f"a message of {len(data)} bytes is over the limit of {bounds.total}")
    if data[: len(MAGIC)] != MAGIC or len(data) < _PREFIX:
        raise PayloadError("these bytes are no meshtune message")
    if data[len(MAGIC)] != VERSION:
        raise PayloadError(f"a message of format version {data[len(MAGIC)]} cannot be read: this version reads {VERSION}")
    block = data[_PREFIX:]
    entries = _header(block, bounds)
    try:
        head = json.loads(_metadata(block)["m"])
        kind, sender, number, source, meta = head
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise PayloadError("a message's head is damaged") from error
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (sender, number, source))
    if kind not in KINDS or not whole or not isinstance(meta, dict):
        raise PayloadError("a message's head is damaged")
    try:
        tensors = load_block(block)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise PayloadError(f"a message's tensors are damaged: {error}") from error
    return Message(kind, sender, number, source, meta, {name: tensors[name] for name in entries})


def byte_split(message: Message, data: bytes) -> dict[str, int]:
    """Return the bytes of ``data`` by what they are for: values, masks, router, control (frame and header)."""
    split = {"values": 0, "masks": 0, "router": 0, "control": 0}
    for name, tensor in message.tensors.items():
        use = "router" if message.kind == "router" else "masks" if name == "mask" else "values"
        split[use] += tensor.numel() * tensor.element_size()
    split["control"] = len(data) - sum(split.values())
    return split


def _json(block: bytes, bounds: Limits) -> dict[str, Any]:
    if len(block) < 8:
        raise PayloadError("a message ends before its header")
    (size,) = struct.unpack("<Q", block[:8])
    if size > bounds.header or size > len(block) - 8:
        raise PayloadError(f"a message's header claims {size} bytes, more than there are or than are allowed")
    try:
        header = json.loads(block[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise PayloadError("a message's header is damaged") from error
    if not isinstance(header, dict):
        raise PayloadError("a message's header is damaged")
    return header


def _metadata(block: bytes) -> dict[str, Any]:
    found = _json(block, Limits(header=len(block))).get("__metadata__")
    return found if isinstance(found, dict) else {}


def _header(block: bytes, bounds: Limits) -> dict[str, dict[str, Any]]:
    """Return the tensor entries of a safetensors block, each checked against the bytes there are."""
    header = _json(block, bounds)
    header.pop("__metadata__", None)
    if len(header) > bounds.tensors:
        raise PayloadError(f"a message of {len(header)} tensors is over the limit of {bounds.tensors}")
    for name, entry in header.items():
        try:
            shape, (start, stop) = entry["shape"], entry["data_offsets"]
            count = 1
            for n in shape:
                if not isinstance(n, int) or n < 0:
                    raise ValueError
                count *= n
            size = DTYPES.get(entry["dtype"])
            inside = 0 <= start <= stop <= len(block)
        except (KeyError, TypeError, ValueError) as error:
            raise PayloadError(f"tensor {name!r} of a message is described wrongly") from error
        if size is None:
            raise PayloadError(f"tensor {name!r} has type {entry['dtype']!r}, which is not part of the format")
        if not inside or count * size != stop - start:
            raise PayloadError(f"tensor {name!r} claims bytes that are not there")
    return header

