"""Messages of every kind, damaged and forged: refused with one kind of error, or read as what they say, never worse."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frames import PREFIX, frame, opened, sealed
from letters import Letter, letters
from meshtune.errors import PayloadError

FLIPS, BURSTS = 100_000, 20_000


@cache
def mail() -> dict[str, Letter]:
    return letters()


NAMES = sorted(letters())
WHOLE = st.integers(-(1 << 70), 1 << 70)
ODD = (
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=300)
    | st.sampled_from([10**18, 1 << 62, -5, 0, 5_000_000, 10**12, "gaussian", "orthogonal", "announce", "update", []])
)  # fmt: skip
JSON = st.recursive(ODD, lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=9), inner))


def found(letter: Letter, data: bytes) -> bool:
    """Whether damage is refused, in few words. Whatever else happens than a refusal or a reading is a failure."""
    said = ""
    try:
        letter.read(data)
    except PayloadError as error:
        said = str(error)
    assert len(said) < 500
    return bool(said)


def damaged(data: bytes, draw: random.Random, longest: int) -> bytes:
    """Return ``data`` with at most ``longest`` bits in a row flipped at random, the first and the last surely."""
    length = draw.randint(1, longest)
    start = draw.randrange(8 * len(data) - length + 1)
    mask = draw.getrandbits(length) | 1 | 1 << (length - 1)
    return (int.from_bytes(data, "little") ^ mask << start).to_bytes(len(data), "little")


@pytest.mark.parametrize(("count", "longest"), [(FLIPS, 1), (BURSTS, 64), (BURSTS, 1500)])
def test_all_flipped_bits_and_bursts_are_found_in_all_kinds(count: int, longest: int) -> None:
    draw, missed = random.Random(longest), Counter[str]()
    share = -(-count // len(NAMES))
    for name in NAMES:
        letter = mail()[name]
        missed[name] = sum(not found(letter, damaged(letter.data, draw, longest)) for _ in range(share))
    assert missed.total() == 0, missed
    assert share * len(NAMES) >= count


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_message_is_read_and_a_part_of_one_is_not(name: str) -> None:
    letter = mail()[name]
    assert letter.read(letter.data) == letter.read(bytes(letter.data))
    for length in range(0, len(letter.data), max(1, len(letter.data) // 40)):
        assert found(letter, letter.data[:length])
    for more in (b"\x00", b" ", letter.data):
        assert found(letter, letter.data + more)
        assert found(letter, sealed(letter.data[PREFIX:] + more))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 1 << 16), st.integers(0, 1 << 16), st.binary())
def test_spliced_messages_are_found(one: str, other: str, cut: int, start: int, between: bytes) -> None:
    letter, data = mail()[one], mail()[other].data
    spliced = letter.data[: cut % len(letter.data)] + between + data[start % len(data) :]
    if spliced not in (letter.data, data):
        assert found(letter, spliced)
    found(letter, sealed(spliced[PREFIX:]))  # a message of another kind, or none, behind a right digest


def test_a_message_of_another_kind_is_refused_or_read_as_its_own() -> None:
    """What is meant for one reader comes to another; those of one kind may read each other's."""
    for name in NAMES:
        kind = json.loads(opened(mail()[name].data)[0]["__metadata__"]["m"])[0]
        for other in NAMES:
            data = mail()[other].data
            if json.loads(opened(data)[0]["__metadata__"]["m"])[0] != kind:
                assert found(mail()[name], data)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_forged_heads_behind_a_right_digest_raise_nothing_else(name: str, data: st.DataObject) -> None:
    letter = mail()[name]
    header, body = opened(letter.data)
    content = json.loads(header["__metadata__"]["m"])
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from(sorted(paths(content), key=repr)))
        change(holder, key, data.draw(st.sampled_from(["set", "near", "drop"])), data)
    header["__metadata__"]["m"] = json.dumps(content)
    found(letter, frame(header, body))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([name for name in NAMES if not name.endswith("told")]), st.data())
def test_forged_tensors_behind_a_right_digest_raise_nothing_else(name: str, data: st.DataObject) -> None:
    letter = mail()[name]
    header, body = opened(letter.data)
    names = [each for each in header if each != "__metadata__"]
    how = data.draw(st.sampled_from(["bytes", "dtype", "shape", "name", "swap", "more", "patterns"]))
    raw = bytearray(body)
    first = data.draw(st.sampled_from(names))
    if how == "bytes":
        for at, value in data.draw(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=9)):
            raw[at % len(raw)] = value
    elif how == "dtype":
        header[first]["dtype"] = data.draw(st.sampled_from(["BF16", "F16", "F32", "U8", "I8", "I32", "I64", "F64"]))
    elif how == "shape":
        header[first]["shape"] = data.draw(st.lists(st.integers(0, 1 << 31), max_size=3) | st.just([1]))
    elif how == "name":
        header[data.draw(st.text(max_size=300))] = header.pop(first)
    elif how == "swap":
        second = data.draw(st.sampled_from(names))
        header[first], header[second] = header[second], header[first]
    elif how == "more":
        header["more"] = {"dtype": "U8", "shape": [5], "data_offsets": [len(raw), len(raw) + 5]}
        raw += b"12345"
    else:  # NaN and infinity of bfloat16 and float32, everywhere or somewhere
        pattern = data.draw(st.sampled_from([b"\xc0\x7f", b"\x80\x7f", b"\x80\xff", b"\xff\xff", b"\x00\x80"]))
        start = data.draw(st.integers(0, len(raw) - 1)) // 4 * 4
        raw[start:] = (pattern * len(raw))[: len(raw) - start]
    found(letter, frame(header, bytes(raw)))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=40))
def test_any_bytes_behind_a_right_digest_raise_nothing_else(name: str, start: int, burst: bytes) -> None:
    letter = mail()[name]
    block = bytearray(letter.data[PREFIX:])
    start %= len(block)
    block[start : start + len(burst)] = burst
    found(letter, sealed(bytes(block[: len(letter.data) - PREFIX])))


def paths(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in plain JSON, as what holds it and its key."""
    if not isinstance(value, list | dict):
        return []
    pairs = list(enumerate(value) if isinstance(value, list) else value.items())
    return [(value, key) for key, _ in pairs] + [path for _, inner in pairs for path in paths(inner)]


def change(holder: Any, key: Any, how: str, data: st.DataObject) -> None:
    if isinstance(holder, list) and not key < len(holder):
        return
    if isinstance(holder, dict) and key not in holder:
        return
    if how == "drop":
        del holder[key]
    elif how == "near" and type(holder[key]) in (int, float):
        holder[key] += data.draw(st.sampled_from([-1, 1, 0.5, 1e-3, 1 << 40]))
    else:
        holder[key] = data.draw(JSON)


def test_bursts_are_as_long_as_they_say() -> None:
    draw = random.Random(0)
    data = np.random.default_rng(0).bytes(200)
    for _ in range(200):
        broken = damaged(data, draw, 12)
        wrong = int.from_bytes(broken, "little") ^ int.from_bytes(data, "little")
        assert 1 <= wrong.bit_length() - (wrong & -wrong).bit_length() + 1 <= 12
