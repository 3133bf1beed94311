"""Expected message sizes before there is any content, for plans.

Frame, header and plain tensors are counted exactly, by the rules of the format. The size of entropy-coded parts depends
on their content: values are assumed normal and masks random. A sample is actually coded and its size scaled up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch

from meshtune.errors import UserError
from meshtune.seeds import stream
from meshtune.wire.codec import encode_difference
from meshtune.wire.frame import PREFIX
from meshtune.wire.payload import DTYPES, Message, encode
from meshtune.wire.positions import encode_positions
from meshtune.wire.value_forms import BITS

PLAIN = {"bfloat16": "BF16", "float32": "F32"}
"""Forms of values that are sent uncoded, with their element type in the format."""

SAMPLE = 1 << 18
"""Maximum number of values, or positions, that are actually coded; larger sizes are scaled up from that many."""

_ORDER = ("I64", "F32", "I32", "BF16", "F16", "I8", "U8")
"""How safetensors orders tensors, then by name: the order decides how many digits an offset has."""

_LENGTH = 8  # bytes of the header's length
_HEAD = 14  # fixed bytes in front of coded values, and 13 of a mask
_MASK_HEAD = 13
_CHOSEN_HEAD = 4


def message_bytes(message: Message, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """Return the bytes of ``message`` with ``tensors`` in it, which need not exist.

    This is exactly the size that :func:`meshtune.wire.payload.encode` produces, ignoring its limits.

    Args:
        message: kind, sender, round, source and meta; its own tensors are ignored.
        tensors: element type, as in :data:`meshtune.wire.payload.DTYPES`, and shape by name.
    """
    bare = encode(Message(message.kind, message.sender, message.round, message.source, message.meta))
    frame = PREFIX + _LENGTH
    header = json.loads(bare[frame:])
    at = 0
    for name in sorted(tensors, key=lambda name: (_ORDER.index(tensors[name][0]), name)):
        dtype, shape = tensors[name]
        stop = at + DTYPES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return frame + -(-len(text) // 8) * 8 + at


def update_bytes(count: int, form: str, block: int = 128, round_: int = 1, chosen: tuple[int, int] = (0, 0)) -> int:
    """Return the expected bytes of one device's own update: values and header; the receiver knows the mask.

    Exact for uncoded values. A difference (``int8``, ``int4``, ``int2``) is assumed to have ``count`` normal values:
    real training has been within a few percent of that.

    Args:
        count: number of values; 0 for a method that sends none.
        form: ``float32``, ``bfloat16``, ``int8``, ``int4`` or ``int2``.
        block: values per scale, in a difference.
        round_: the round it is sent in, which is written in the header.
        chosen: of how many of the values the positions are sent, and among how many they are.

    Raises:
        UserError: the form is unknown.
    """
    if any(chosen) and form in (*PLAIN, *BITS):
        values = count * DTYPES[PLAIN[form]] if form in PLAIN else _coded(count, form, block)
        data = _CHOSEN_HEAD + mask_bytes(chosen[1], chosen[0] / chosen[1]) + values
        return message_bytes(Message("update", 0, round_, 0, {"since": round_ - 1}), {"values": ("U8", (data,))})
    if form in PLAIN:
        message = Message("update", 0, round_, 0)
        return message_bytes(message, {"values": (PLAIN[form], (count,))})
    if form not in BITS:
        raise UserError(f"exchange.values={form} is not known: choose from {', '.join((*PLAIN, *BITS))}")
    message = Message("update", 0, round_, 0, {"since": round_ - 1})
    return message_bytes(message, {"values": ("U8", (_coded(count, form, block),))})


def mask_bytes(positions: int, density: float) -> int:
    """Return the expected bytes of a mask in which each of ``positions`` is used with probability ``density``.

    Args:
        positions: sum of d r over the layers.
        density: share of them in use.
    """
    sample = min(positions, SAMPLE)
    return _MASK_HEAD + round((_mask_sample(sample, density) - _MASK_HEAD) * (positions / max(1, sample)))


def _coded(count: int, form: str, block: int) -> int:
    sample = min(count, SAMPLE)
    return _HEAD + round((_value_sample(sample, form, block) - _HEAD) * (count / max(1, sample)))


@cache
def _value_sample(count: int, form: str, block: int) -> int:
    values = torch.from_numpy(stream(0, "size", "values").standard_normal(count, dtype=np.float32))
    return len(encode_difference(values, torch.zeros(count, dtype=torch.bfloat16), form, block))


@cache
def _mask_sample(count: int, density: float) -> int:
    used = np.sort(stream(0, "size", "mask").permutation(count)[: round(density * count)])
    return len(encode_positions(used, count))
