"""What is written is what is read; what cannot be is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import ForeignError, MalformedError, OversizedError, PayloadError
from meshtune.node.transfer.config import LONGEST_PART
from meshtune.node.transfer.transfer_messages import (
    Content,
    ContentPart,
    KeepAlive,
    Offer,
    PartRequest,
    Taken,
    Transferred,
    content_of,
    read_transfer,
    write_transfer,
)
from meshtune.wire.payload import TRANSFER, Message, byte_split, decode, encode

numbers = st.integers(0, (1 << 63) - 1)
contents = st.builds(Content, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(1, (1 << 63) - 1))
offers = st.builds(
    lambda session, number, below, source, version, content: Offer(
        session, number, max(1, number - below), source, version, content
    ),
    numbers, st.integers(1, (1 << 63) - 1), st.integers(0, 9), numbers, numbers, contents,
)  # fmt: skip
whole_offers = st.builds(lambda data: Offer(0, 1, 1, 3, 0, content_of(data), data), st.binary(min_size=1, max_size=99))
said = st.one_of(
    offers,
    whole_offers,
    st.builds(Taken, numbers, numbers),
    st.builds(PartRequest, contents, numbers, st.integers(1, LONGEST_PART)),
    st.builds(ContentPart, contents, numbers, st.none() | st.binary(min_size=1, max_size=99)),
    st.just(KeepAlive()),
)


@given(said, numbers)
def test_what_is_written_is_read_again(one: Transferred, device: int) -> None:
    data = write_transfer(one, device, "some federation")
    assert read_transfer(data, device, "some federation") == one
    message = decode(data)
    assert message.kind in TRANSFER
    assert byte_split(message, data) == {"transfer": len(data)}


@given(said, st.data())
def test_any_change_is_noticed(one: Transferred, draw: st.DataObject) -> None:
    data = write_transfer(one, 1, "f")
    at, bit = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(0, 7))
    with pytest.raises(PayloadError):
        read_transfer(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :], 1, "f")


CONTENT: dict[str, Any] = {"digest": "0" * 64, "size": 5}
OFFER = {**CONTENT, "federation": "f", "session": 0, "number": 2, "oldest": 1, "version": 0}


@pytest.mark.parametrize(
    ("kind", "meta", "part"),
    [
        ("offer", {**OFFER, "number": 0}, "the number of a message of device 1 is 0"),
        ("offer", {**OFFER, "oldest": 3}, "offers number 2, but its oldest offer is 3"),
        ("offer", {**OFFER, "size": 0}, "the size of a message of device 1 is 0"),
        ("offer", {**OFFER, "size": 1.5}, "is 1.5"),
        ("offer", {**OFFER, "digest": "0" * 63}, "expected 64 hexadecimal digits"),
        ("offer", {**OFFER, "digest": "G" * 64}, "expected 64 hexadecimal digits"),
        ("offer", {**OFFER, "session": True}, "is True"),
        ("taken", {"federation": "f", "session": 0}, "lacks its number"),
        ("fetch", {**CONTENT, "federation": "f", "offset": -1, "length": 1}, "is -1"),
        ("fetch", {**CONTENT, "federation": "f", "offset": 0, "length": 0}, "is 0"),
        ("alive", {}, "lacks its federation"),
        ("update", {"federation": "f"}, "expected one that transfers contents"),
    ],
)
def test_what_cannot_be_is_malformed(kind: str, meta: dict[str, Any], part: str) -> None:
    with pytest.raises(MalformedError, match=part):
        read_transfer(encode(Message(kind, 1, 0, 1, meta)), 1, "f")


def test_strangers_and_claims_beyond_bounds_are_refused() -> None:
    with pytest.raises(ForeignError, match="device 2 sent a message that names device 1 as its sender"):
        read_transfer(write_transfer(KeepAlive(), 1, "f"), 2, "f")
    with pytest.raises(ForeignError, match="device 1 is of another federation, 'f'"):
        read_transfer(write_transfer(KeepAlive(), 1, "f"), 1, "g")
    with pytest.raises(MalformedError, match="a content other than it offered"):
        read_transfer(write_transfer(Offer(0, 1, 1, 1, 0, content_of(b"one"), b"two"), 1, "f"), 1, "f")
    content = Content("0" * 64, 1 << 40)
    with pytest.raises(OversizedError, match="at once"):
        read_transfer(write_transfer(PartRequest(content, 0, LONGEST_PART + 1), 1, "f"), 1, "f")
    with pytest.raises(OversizedError):
        read_transfer(write_transfer(ContentPart(content, 0, bytes(LONGEST_PART + 1)), 1, "f"), 1, "f")
    longest = write_transfer(ContentPart(content, 0, bytes(LONGEST_PART)), 1, "f")
    assert read_transfer(longest, 1, "f") == ContentPart(content, 0, bytes(LONGEST_PART))
