"""Codes a vector of values close to its entropy: quantised in blocks, sent as a difference, entropy-coded by zstd.

Version v of a source is sent as Q(x_v - y_{v-1}), and both ends then hold the reconstruction

    y_v = bf16(y_{v-1} + Q(x_v - y_{v-1})).

The difference is taken to what the receiver holds, not to the exact values. The rounding error of one version is thus
part of the next: error feedback in the manner of EF21 (Richtarik, Sokolov, Fatkhullin 2021). y is rounded to bfloat16,
so a keyframe in bfloat16 carries it exactly, and all devices that hold a version hold the same bits, however it
reached them. docs/payload.md shows the bytes.
"""

from __future__ import annotations

import struct
import threading

import numpy as np
import torch
import zstandard
from numpy.typing import NDArray
from torch import Tensor

from meshtune.errors import ForeignError, MalformedError, OversizedError
from meshtune.printable import printable
from meshtune.wire.ternary import ternary_scales
from meshtune.wire.value_forms import BITS, BLOCKS

_FORMS = {1: "int4", 2: "int8", 3: "bfloat16", 4: "int2"}
_NUMBERS = {name: number for number, name in _FORMS.items()}
_HEAD = struct.Struct("<BBHIHI")  # form, compression flags, block, values, largest scale, bytes of the first part
_SCALES, _BODY = 1, 2  # compression flags: scales (of a keyframe the exponents), and the rest
_SHIFT = 19  # a scale keeps the sign, the exponent and four mantissa bits of a float32
_SMALLEST, _LARGEST = 1 << 4, (255 << 4) - 1  # scales that are normal floats
_BEYOND = torch.finfo(torch.bfloat16).max
_TOP = float(np.array(_LARGEST << _SHIFT, dtype=np.uint32).view(np.float32))


class _Zstd(threading.local):
    """Per-thread contexts: creating them takes as long as coding a small vector."""

    def __init__(self) -> None:
        # Level 1 includes the Huffman stage; higher levels search longer for repetitions, which noise does not have.
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


def encode_difference(values: Tensor, base: Tensor, form: str, block: int) -> bytes:
    """Return Q(values - base) as bytes; :func:`apply_difference` reads them.

    Each block of ``block`` values has a scale s, the smallest on a logarithmic grid (sixteen steps per octave) with
    L s >= max |x|, L = 7 for int4 and 127 for int8. A value becomes the nearest of -L..L times s, so its error is at
    most s / 2. In int2 L = 1, and s may be smaller, as :mod:`meshtune.wire.ternary` says.

    Args:
        values: the values to send, fp32 (n,).
        base: what the receiver holds, bf16 (n,).
        form: ``int2``, ``int4`` or ``int8``.
        block: values per scale.

    Raises:
        PayloadError: a value is NaN or infinite.
    """
    count, top = values.numel(), (1 << (BITS[form] - 1)) - 1
    rest = torch.empty(-(-count // block) * block)
    rest[:count].copy_(base)  # convert first: torch subtracts mixed types slowly
    torch.sub(values, rest[:count], out=rest[:count])
    rest[count:] = 0.0
    rest = rest.view(-1, block)
    peak = rest.abs().amax(dim=1)
    if form == "int2":
        peak = ternary_scales(rest, peak)
    codes, largest, steps = _scales((peak / top).numpy())
    if largest > _LARGEST:
        check_finite(values)
        # The difference of two finite values may overflow float32: what is clamped here is in the next difference.
        rest.clamp_(-_BEYOND, _BEYOND)
        codes, largest, steps = _scales((peak.clamp_(max=_BEYOND) / top).clamp_(max=_TOP).numpy())
    # Never negative, so truncation rounds to the nearest.
    torch.addcmul(torch.tensor(top + 0.5), rest, torch.from_numpy(1.0 / steps)[:, None], out=rest)
    if form == "int2":
        rest.clamp_(0.0, 2 * top + 0.5)
    symbols = _packed(rest.view(-1)[:count].numpy().astype(np.uint8), BITS[form])
    scales, scales_small = _shrink(codes)
    body, body_small = _shrink(symbols)
    flags = _SCALES * scales_small + _BODY * body_small
    return _HEAD.pack(_NUMBERS[form], flags, block, count, largest, len(scales)) + scales + body


def apply_difference(data: bytes, base: Tensor, due: str | None = None) -> Tensor:
    """Return bf16(base + Q), bf16 (n,), from the bytes of :func:`encode_difference`.

    Args:
        data: the bytes.
        base: the base of the difference, bf16 (n,).
        due: the required form; None for any.

    Raises:
        PayloadError: the bytes are damaged, of another form, or hold another number of values than ``base``.
    """
    form, flags, block, largest, scales, body = _open(data, base.numel())
    if form not in BITS:
        raise MalformedError("coded values are not a difference")
    if due not in (None, form):
        raise MalformedError(f"a difference came in {form}, expected {due}")
    count, top = base.numel(), (1 << (BITS[form] - 1)) - 1
    if not BLOCKS[0] <= block <= BLOCKS[1]:
        raise MalformedError(f"coded values have blocks of {block}: {BLOCKS[0]} to {BLOCKS[1]} are allowed")
    codes = _expand(scales, -(-count // block), bool(flags & _SCALES))
    if not _SMALLEST <= largest <= _LARGEST:
        raise MalformedError("coded values have an impossible scale")
    steps = _steps(codes, largest)
    packed = _expand(body, -(-count * BITS[form] // 8), bool(flags & _BODY))
    symbols = _unpacked(packed, BITS[form])[:count]
    if symbols.size and int(symbols.max()) > 2 * top:
        raise MalformedError("coded values have an invalid symbol")
    whole = count // block * block
    found = torch.from_numpy((symbols - np.uint8(top)).view(np.int8).astype(np.float32))  # wraps round to -top..top
    found[:whole].view(-1, block).mul_(torch.from_numpy(steps[: whole // block])[:, None])
    if whole < count:
        found[whole:].mul_(float(steps[-1]))
    return found.add_(base.float()).clamp_(-_BEYOND, _BEYOND).bfloat16()


def encode_keyframe(values: Tensor) -> bytes | None:
    """Return bf16 values (n,) as bytes, bit for bit; None if coding makes them no smaller.

    Exponents of neighbouring values are similar; signs and mantissas are not. The two are coded separately.

    Raises:
        PayloadError: a value is NaN or infinite.
    """
    check_finite(values)
    bits = values.contiguous().view(torch.int16).numpy().view(np.uint16)
    exponents = (bits >> 7).astype(np.uint8)
    others = ((bits >> 8) & 0x80).astype(np.uint8) | (bits & 0x7F).astype(np.uint8)
    first, first_small = _shrink(exponents)
    second, second_small = _shrink(others)
    if _HEAD.size + len(first) + len(second) >= 2 * values.numel():
        return None
    flags = _SCALES * first_small + _BODY * second_small
    return _HEAD.pack(_NUMBERS["bfloat16"], flags, 0, values.numel(), 0, len(first)) + first + second


def decode_keyframe(data: bytes, count: int) -> Tensor:
    """Return the bf16 values (count,) of :func:`encode_keyframe`.

    Raises:
        PayloadError: the bytes are damaged, or do not hold ``count`` finite values.
    """
    form, flags, block, largest, first, second = _open(data, count)
    if form != "bfloat16" or block or largest:
        raise MalformedError("coded values are not a keyframe")
    exponents = _expand(first, count, bool(flags & _SCALES)).astype(np.uint16)
    others = _expand(second, count, bool(flags & _BODY)).astype(np.uint16)
    bits = (others & 0x80) << 8 | exponents << 7 | others & 0x7F
    values = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    check_finite(values)
    return values


def check_finite(values: Tensor) -> None:
    """Raise PayloadError if a value is NaN or infinite."""
    if not torch.isfinite(values).all():
        raise MalformedError("values to exchange are not finite")


def shrink(data: NDArray[np.uint8]) -> bytes:
    """Return ``data`` as one zstd frame that states its content size."""
    return _zstd.compressor.compress(np.ascontiguousarray(data).data)


def expand(data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes of one zstd frame; nothing is allocated unless the frame states that size.

    Raises:
        PayloadError: it is damaged, or of another size.
    """
    try:
        claimed = zstandard.frame_content_size(data)
        if claimed != size:
            kind = OversizedError if claimed > size else MalformedError
            raise kind(f"compressed bytes claim to be {claimed}, expected {size}")
        found = _zstd.decompressor.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedError(f"compressed bytes are damaged: {printable(str(error), 100)}") from error
    if len(found) != size:
        raise MalformedError(f"compressed bytes are {len(found)}, expected {size}")
    return found


def _scales(least: NDArray[np.float32]) -> tuple[NDArray[np.uint8], int, NDArray[np.float32]]:
    """Return a byte per block (0 if ``least`` is 0), the largest scale's index on the grid, and the scales.

    A scale is ``least`` rounded up to the grid. An infinite or NaN one has an index above the largest valid one.
    """
    places = ((least.view(np.uint32) + np.uint32((1 << _SHIFT) - 1)) >> np.uint32(_SHIFT)).view(np.int32)
    largest = max(int(places.max(initial=0)), _SMALLEST)
    # Anything below 2^-15 of the largest gets the smallest scale that a byte can express.
    np.maximum(places, max(largest - 254, _SMALLEST), out=places)
    codes = (places - (largest - 255)).astype(np.uint8)
    if not least.all():
        codes[least == 0] = 0
    steps: NDArray[np.float32] = (places << _SHIFT).view(np.float32)
    return codes, largest, steps


def _steps(codes: NDArray[np.uint8], largest: int) -> NDArray[np.float32]:
    """Return the scales that a sender's bytes stand for; a byte of 0 stands for a block of zeros."""
    places = np.maximum(codes + np.int32(largest - 255), _SMALLEST, dtype=np.int32)
    steps: NDArray[np.float32] = (places << _SHIFT).view(np.float32)
    if not codes.all():
        steps[codes == 0] = 0.0
    return steps


def _packed(symbols: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return several symbols of ``bits`` a byte: byte i has symbols i, i + m, ..., for m bytes, the first uppermost."""
    if bits == 8:
        return symbols
    size = -(-symbols.size * bits // 8)
    made = symbols[:size] << np.uint8(8 - bits)
    for number in range(1, 8 // bits):
        part = symbols[number * size : (number + 1) * size]
        made[: part.size] |= part << np.uint8(8 - bits * (number + 1))
    return made


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return the symbols of :func:`_packed`, and in the end those that fill its last bytes."""
    if bits == 8:
        return packed
    symbols = np.empty((8 // bits, packed.size), dtype=np.uint8)
    for number, part in enumerate(symbols):
        np.right_shift(packed, 8 - bits * (number + 1), out=part)
        np.bitwise_and(part, (1 << bits) - 1, out=part)
    return symbols.reshape(-1)


def _shrink(data: NDArray[np.uint8]) -> tuple[bytes, bool]:
    """Return ``data``, compressed if that is smaller, and whether it is compressed."""
    small = shrink(data) if data.size else b""
    return (small, True) if len(small) < data.size else (data.tobytes(), False)


def _expand(data: bytes, size: int, small: bool) -> NDArray[np.uint8]:
    if not small and len(data) != size:
        raise MalformedError(f"coded values have a part of {len(data)} bytes, expected {size}")
    return np.frombuffer(expand(data, size) if small else data, dtype=np.uint8)


def _open(data: bytes, count: int) -> tuple[str, int, int, int, bytes, bytes]:
    """Return form, flags, block, largest scale, scales and body; refuse a number of values other than ``count``."""
    if len(data) < _HEAD.size:
        raise MalformedError("coded values end before their head")
    form, flags, block, found, largest, length = _HEAD.unpack_from(data)
    if form not in _FORMS or flags & ~(_SCALES | _BODY):
        raise MalformedError(f"coded values of form {form} with flags {flags} are not part of the format")
    if found != count:
        raise ForeignError(f"{found} coded values came, expected {count}: another mask or model")
    if length > len(data) - _HEAD.size:
        raise OversizedError("coded values claim more bytes of scales than there are")
    return _FORMS[form], flags, block, largest, data[_HEAD.size : _HEAD.size + length], data[_HEAD.size + length :]
