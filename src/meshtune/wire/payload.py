"""The message format: one documented, versioned frame around a safetensors block; never pickle.

The frame (:mod:`meshtune.wire.frame`) holds a digest. The ``__metadata__`` of the block carries kind, sender, round,
source and a small JSON object; docs/payload.md shows it byte by byte. The digest is checked first, then every size
against limits, before a tensor is created. Whatever :func:`decode` accepts, :func:`encode` can relay.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_block
from safetensors.torch import save as save_block
from torch import Tensor

from meshtune.errors import MalformedError, OversizedError
from meshtune.printable import printable, quoted
from meshtune.wire.frame import PREFIX, seal, unseal

INVENTORY = ("have", "want")
"""Kinds that say who holds what, and who requests what."""
TRANSFER = ("offer", "taken", "fetch", "part", "alive")
"""Kinds that transfer other messages over lossy links."""
KINDS = ("block", "announce", "router", "update", "proposal", "claim", *INVENTORY, *TRANSFER)
DTYPES = {"BF16": 2, "F16": 2, "F32": 4, "U8": 1, "I8": 1, "I32": 4, "I64": 8}
"""Element types of the format, in safetensors' names, with their bytes per element."""

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"


@dataclass(frozen=True)
class PayloadLimits:
    """Limits on one message.

    Attributes:
        total: bytes of the whole message.
        header: bytes of the safetensors header, which holds the meta.
        tensors: number of tensors.
        elements: number of elements of all tensors together.
        dimensions: number of dimensions of one tensor.
    """

    total: int = 1 << 30
    header: int = 1 << 16
    tensors: int = 64
    elements: int = 1 << 29
    dimensions: int = 8


@dataclass(frozen=True)
class Message:
    """One message between two devices.

    Attributes:
        kind: ``block`` (which group claims which block), ``announce`` (who I am, my mask), ``router`` (my task
            statistics), ``update`` (my expert), ``proposal`` (positions I would take for my group), ``claim`` (those
            that it takes), ``have`` (what I hold), ``want`` (what I request); and those that transfer other messages
            between peers: ``offer`` (a message that I hold for you), ``taken`` (offers that I have handled), ``fetch``
            (which part I request), ``part`` (a part), ``alive`` (a keep-alive).
        sender: the device that sends it now.
        round: the round it is sent in; 0 before the first.
        source: the device whose content it is; differs from the sender if relayed.
        meta: small facts, as JSON: tuples arrive as lists, keys as strings; no NaN or infinity.
        tensors: named tensors; their order is not preserved.
    """

    kind: str
    sender: int
    round: int
    source: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def byte_tensor(data: bytes) -> Tensor:
    """Return ``data`` as a tensor of a message, uint8 (bytes,)."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def encode(message: Message, limits: PayloadLimits | None = None) -> bytes:
    """Return the message as bytes; equal messages give equal bytes.

    Raises:
        PayloadError: something in it is not part of the format, or it exceeds ``limits``.
    """
    bounds = limits or PayloadLimits()
    head = _head(message.kind, message.sender, message.round, message.source, message.meta)
    if _METADATA in message.tensors:
        raise MalformedError(f"a tensor cannot be named {_METADATA}")
    try:
        # Views of one storage are allowed; safetensors needs each tensor to own its bytes.
        own = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in message.tensors.items()
        }
        block = bytes(save_block(own, {"m": head}))
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise MalformedError(f"a message's tensors cannot be written: {printable(str(error), 100)}") from error
    _check_total(PREFIX + len(block), bounds)
    _entries(_header(block, bounds), len(block), bounds)
    return seal(block)


def decode(data: bytes, limits: PayloadLimits | None = None) -> Message:
    """Return the message in ``data``.

    Raises:
        PayloadError: it is damaged, of another version, or exceeds ``limits``.
    """
    bounds = limits or PayloadLimits()
    _check_total(len(data), bounds)
    block = unseal(data)
    header = _header(block, bounds)
    metadata = header.pop(_METADATA, None)
    _entries(header, len(block), bounds)
    try:
        if set(metadata) != {"m"}:
            raise ValueError("metadata of something else")
        kind, sender, number, source, meta = _parse(metadata["m"])
        _head(kind, sender, number, source, meta)
    except (TypeError, ValueError) as error:
        raise MalformedError("a message's head is damaged") from error
    try:
        tensors = load_block(block)
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError, OverflowError) as error:
        raise MalformedError(f"a message's tensors are damaged: {printable(str(error), 100)}") from error
    return Message(kind, sender, number, source, meta, {name: tensors[name] for name in header})


def byte_split(message: Message, data: bytes) -> dict[str, int]:
    """Return the bytes of ``data``, the encoded ``message``, by use: values, masks, router, control.

    Tensors count by their purpose; frame and header are control. Messages about who holds what count entirely as
    inventory, and those that transfer other messages entirely as transfer. The parts sum to ``len(data)``.
    """
    if message.kind in INVENTORY:
        return {"inventory": len(data)}
    if message.kind in TRANSFER:
        return {"transfer": len(data)}
    split = {"values": 0, "masks": 0, "router": 0, "control": 0}
    for name, tensor in message.tensors.items():
        use = "router" if message.kind == "router" else "masks" if name == "mask" else "values"
        split[use] += tensor.numel() * tensor.element_size()
    split["control"] = len(data) - sum(split.values())
    return split


def _head(kind: Any, sender: Any, number: Any, source: Any, meta: Any) -> str:
    """Return our part of the header as JSON; refuse what is not part of the format."""
    if kind not in KINDS:
        raise MalformedError(f"a message of kind {quoted(kind)} is not part of the format: {', '.join(KINDS)}")
    for name, value in (("sender", sender), ("round", number), ("source", source)):
        if not _whole(value):
            raise MalformedError(f"a message's {name} is {quoted(value)}: it must be a whole number from 0 to 2^63 - 1")
    if not isinstance(meta, Mapping):
        raise MalformedError("a message's meta must be a mapping")
    try:
        content = [kind, sender, number, source, dict(meta)]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedError(f"a message's meta is not plain JSON: {printable(str(error), 100)}") from error
    return text


def _check_total(size: int, bounds: PayloadLimits) -> None:
    if size > bounds.total:
        raise OversizedError(f"a message of {size} bytes is over the limit of {bounds.total}")


def _header(block: bytes, bounds: PayloadLimits) -> dict[str, Any]:
    """Return the header of a safetensors block, after checking its size."""
    if len(block) < _LENGTH.size:
        raise MalformedError("a message ends before its header")
    (size,) = _LENGTH.unpack_from(block)
    if size > bounds.header or size > len(block) - _LENGTH.size:
        raise OversizedError(f"a message's header claims {size} bytes, more than there are or than are allowed")
    try:
        header = _parse(block[_LENGTH.size : _LENGTH.size + size].decode())
    except ValueError as error:
        raise MalformedError("a message's header is damaged") from error
    if not isinstance(header, dict):
        raise MalformedError("a message's header is damaged")
    return header


def _entries(header: Mapping[str, Any], length: int, bounds: PayloadLimits) -> None:
    """Check every tensor entry of a header against the limits and the ``length`` bytes available."""
    entries = {name: entry for name, entry in header.items() if name != _METADATA}
    if len(entries) > bounds.tensors:
        raise OversizedError(f"a message of {len(entries)} tensors is over the limit of {bounds.tensors}")
    elements = 0
    for name, entry in entries.items():
        try:
            dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
            size = DTYPES.get(dtype)
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"tensor {quoted(name)} of a message has an invalid description") from error
        if size is None:
            raise MalformedError(f"tensor {quoted(name)} has type {quoted(dtype)}, which is not part of the format")
        # Bound each dimension too: otherwise an empty tensor may claim any size next to its zero.
        if not isinstance(shape, list) or len(shape) > bounds.dimensions:
            raise OversizedError(f"tensor {quoted(name)} has more dimensions than the limit of {bounds.dimensions}")
        if not all(_whole(n) and n <= bounds.elements for n in shape):
            raise OversizedError(f"tensor {quoted(name)} has a dimension outside 0 to {bounds.elements}")
        count = 1
        for n in shape:
            count *= n
        elements += count
        if elements > bounds.elements:
            raise OversizedError(f"a message of over {bounds.elements} elements is over the limit")
        inside = _whole(start) and _whole(stop) and start <= stop <= length
        if not inside or count * size != stop - start:
            raise MalformedError(f"tensor {quoted(name)} claims bytes that are not there")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _parse(text: str) -> Any:
    """Return parsed JSON; a duplicate key, which parsers may treat differently, is a ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is given twice")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
