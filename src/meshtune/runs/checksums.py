"""Checksums of the files in a run's folder, so that reading detects a flipped bit or a missing line.

They reveal damage and mistakes, not malice: xxh3 is fast, not cryptographic. JSON is read strictly: no NaN, no infinite
number, no nesting that Python cannot follow.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import xxhash

CHECKSUM = "checksum"
LONGEST = 100
"""The most digits of an integer: with more, some arithmetic would fail."""
_LINE = re.compile(rb'(\{.*), "check": "([0-9a-f]{16})"\}', re.DOTALL)
_CHECKED = re.compile(rb'"line": \d+, "check": "')
_UNCHECKED = b"0" * 32
_IN_HEADER = re.compile(rb'"checksum":"([0-9a-f]{32})"')


def parse(text: str | bytes) -> Any:
    """Return the JSON value in ``text``.

    Raises:
        ValueError: it is not JSON or not UTF-8, is nested too deeply, or has an infinite or far too long number.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def plain(value: Any) -> Any:
    """Return ``value`` as it would be after a JSON round trip, with null for every number that is not finite.

    Args:
        value: of JSON types, or tuples and numbers that are subclasses of them.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def checksum(content: Any) -> str:
    """Return 32 hexadecimal digits that are equal for equal JSON values, whatever their layout and order of keys.

    Raises:
        ValueError: it is nested too deeply, or has an integer too long to be written.
    """
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return xxhash.xxh3_128_hexdigest(text.encode())


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``content`` with its checksum as an additional key."""
    return {**content, CHECKSUM: checksum(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`sealed` was given.

    Raises:
        ValueError: the content does not match, or there is no checksum.
    """
    rest = {key: value for key, value in content.items() if key != CHECKSUM}
    if content.get(CHECKSUM) != checksum(rest):
        raise ValueError("its checksum does not fit its content")
    return rest


def dumped(content: Any, indent: int | None = None) -> bytes:
    """Return JSON in UTF-8; with a lone surrogate, which UTF-8 cannot encode, it becomes ASCII with escapes."""
    try:
        return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(content, indent=indent, allow_nan=False).encode()


def line_of(record: Mapping[str, Any], number: int) -> bytes:
    """Return a log's line: ``record`` with its ``line`` number and, last, a ``check`` of everything before it."""
    body = dumped({**plain(record), "line": number})
    return body[:-1] + b', "check": "' + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'


def record_of(line: bytes) -> tuple[int, dict[str, Any]] | None:
    """Return the number and the record of a line, or None if its check does not match; inverts :func:`line_of`."""
    match = _LINE.fullmatch(line)
    if match is None or xxhash.xxh3_64_hexdigest(match[1] + b"}").encode() != match[2]:
        return None
    try:
        record = parse(match[1] + b"}")
        return int(record.pop("line")), record
    except (ValueError, KeyError, TypeError):
        return None


def has_check(line: bytes) -> bool:
    """Return whether a line has a number and a check, right or wrong."""
    return _CHECKED.search(line) is not None


def file_of(tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> list[memoryview]:
    """Return a safetensors file in parts; its metadata hold ``facts`` as JSON and a checksum of all other bytes.

    Args:
        tensors: by name, each contiguous, on the CPU and with its own storage.
        facts: JSON-able.
    """
    from safetensors.torch import save

    whole = memoryview(save(dict(tensors), {"facts": json.dumps(plain(facts)), CHECKSUM: _UNCHECKED.decode()}))
    at = _place(whole)
    assert at is not None
    digits = memoryview(_digits(whole, at).encode())
    return [whole[:at], digits, whole[at + len(digits) :]]


def fault_of(whole: memoryview) -> str | None:
    """Return what is wrong with the bytes of a file from :func:`file_of`, or None."""
    at = _place(whole)
    if at is None:
        return "it has no checksum"
    if bytes(whole[at : at + len(_UNCHECKED)]).decode() != _digits(whole, at):
        return "its checksum does not fit its content"
    return None


def _digits(whole: memoryview, at: int) -> str:
    """Return the checksum of a safetensors file whose stored checksum is at the byte ``at``."""
    state = xxhash.xxh3_128(whole[:at])
    state.update(_UNCHECKED)
    state.update(whole[at + len(_UNCHECKED) :])
    return state.hexdigest()


def _place(whole: memoryview) -> int | None:
    """Return the position of a safetensors file's checksum: in the header, after 8 bytes with the header's length."""
    length = int.from_bytes(whole[:8], "little")
    match = _IN_HEADER.search(bytes(whole[8 : 8 + min(length, len(whole))]))
    return None if match is None else 8 + match.start(1)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _whole(text: str) -> int:
    if len(text) > LONGEST:
        raise ValueError(f"{text[:20]} and {len(text) - 20} more digits are no number of a run")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value
