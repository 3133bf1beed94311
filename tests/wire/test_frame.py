"""The frame around a message: its digest is XXH3, covers everything else, and is looked at first."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import PayloadError
from meshtune.wire.frame import PREFIX, seal, unseal


def test_the_digest_is_the_published_xxh3() -> None:
    """The value of XXH3 in 64 bits for no input at all, as the specification has it: 2d06800538d394c2."""
    assert xxhash.xxh3_64_digest(b"").hex() == "2d06800538d394c2"
    assert seal(b"block")[5:13] == xxhash.xxh3_64(b"MTUN\x03block").digest()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_what_is_sealed_is_opened(block: bytes) -> None:
    data = seal(block)
    assert len(data) == PREFIX + len(block)
    assert unseal(data) == block


@settings(deadline=None)
@given(st.binary(max_size=60), st.data())
def test_no_other_bytes_open(block: bytes, data: st.DataObject) -> None:
    sent = seal(block)
    came = bytearray(sent)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(sent) - 1), st.integers(0, 255)), min_size=1)):
        came[at] = value
    if bytes(came) != sent:
        with pytest.raises(PayloadError):
            unseal(bytes(came))


def test_the_version_before_is_refused_by_name() -> None:
    old = b"MTUN\x02" + seal(b"{}")[PREFIX:]
    with pytest.raises(
        PayloadError, match="format version 2 cannot be read, this version of meshtune reads 3: let all"
    ):
        unseal(old)
