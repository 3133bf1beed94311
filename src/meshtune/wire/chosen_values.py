"""Values at some positions only, as bytes: which positions, and what they hold.

A device that sends only the largest changes of an update, or a keyframe of one that has changed in few places, names
the positions (:mod:`meshtune.wire.positions`) and codes the values there like any others: as a quantised difference, or
plainly in bfloat16 or float32. Everywhere else the receiver keeps the base.
"""

from __future__ import annotations

import struct

import numpy as np
import torch
from torch import Tensor

from meshtune.errors import ForeignError, MalformedError, OversizedError
from meshtune.wire.codec import apply_difference, check_finite, encode_difference
from meshtune.wire.positions import decode_positions, encode_positions
from meshtune.wire.value_forms import BITS

_HEAD = struct.Struct("<I")  # bytes of the positions
_PLAIN = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def encode_chosen(values: Tensor, base: Tensor, chosen: Tensor, form: str, block: int) -> bytes:
    """Return ``values`` at the positions ``chosen`` as bytes; :func:`apply_chosen` reads them.

    Args:
        values: the values to send, fp32 (n,).
        base: what the receiver holds, bf16 (n,), or of type ``form`` if that is plain.
        chosen: the positions, ascending (m,).
        form: ``int2``, ``int4`` or ``int8`` for a difference to ``base``; ``bfloat16`` or ``float32`` for the values.
        block: values per scale of a difference.

    Raises:
        PayloadError: a value is NaN, infinite, or out of range for the type.
    """
    positions = encode_positions(chosen.numpy(), values.numel())
    if form in BITS:
        body = encode_difference(values[chosen], base[chosen], form, block)
    else:
        plain = values[chosen].to(_PLAIN[form])
        check_finite(plain)
        body = plain.view(torch.uint8).numpy().tobytes()
    return _HEAD.pack(len(positions)) + positions + body


def apply_chosen(data: bytes, base: Tensor, form: str) -> Tensor:
    """Return ``base`` with the values from the bytes of :func:`encode_chosen` at their positions (n,).

    Raises:
        PayloadError: the bytes are damaged, of another form, or belong to another number of values than ``base`` has.
    """
    chosen, at = _positions(data, base.numel())
    body, found = data[at:], base.clone()
    if form in BITS:
        found[chosen] = apply_difference(body, base[chosen], form)
        return found
    dtype = _PLAIN[form]
    if len(body) != chosen.numel() * dtype.itemsize:
        raise ForeignError(f"{len(body)} bytes came for {chosen.numel()} values of type {form}: another mask or model")
    plain = torch.empty(chosen.numel(), dtype=dtype)
    plain.view(torch.uint8).numpy()[:] = np.frombuffer(body, dtype=np.uint8)
    check_finite(plain)
    found[chosen] = plain
    return found


def chosen_in(data: bytes, count: int) -> Tensor:
    """Return the positions, of ``count``, that the bytes of :func:`encode_chosen` have values for, ascending (m,).

    Raises:
        PayloadError: the bytes are damaged, or are of another number of positions.
    """
    return _positions(data, count)[0]


def _positions(data: bytes, count: int) -> tuple[Tensor, int]:
    """Return the positions in ``data``, and where the values begin."""
    if len(data) < _HEAD.size:
        raise MalformedError("chosen values end before their head")
    (length,) = _HEAD.unpack_from(data)
    if length > len(data) - _HEAD.size:
        raise OversizedError("chosen values claim more bytes of positions than there are")
    stop = _HEAD.size + length
    return torch.from_numpy(decode_positions(data[_HEAD.size : stop], count)), stop


def largest(change: Tensor, count: int, among: slice) -> Tensor:
    """Return the ascending positions of the ``count`` largest magnitudes of ``change`` (n,) in ``among``, and of all
    outside it (m,).
    """
    used = torch.ones(change.numel(), dtype=torch.bool)
    used[among] = False
    part = change[among].abs()
    start = range(change.numel())[among].start
    used[start + torch.topk(part, min(count, part.numel()), sorted=False).indices] = True
    return used.nonzero().view(-1)
