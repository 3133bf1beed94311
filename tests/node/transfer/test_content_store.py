"""Contents are kept once, as long as a name for them is, and within bounds."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import MalformedError, OversizedError, StaleError
from meshtune.node.transfer.content_store import ContentStore
from meshtune.node.transfer.transfer_messages import Content

MOST = 40


def test_a_content_is_known_by_the_digest_of_its_bytes() -> None:
    store = ContentStore(100)
    content, gone = store.put((1, 1), b"some bytes")
    assert content == (hashlib.blake2b(b"some bytes", digest_size=32).hexdigest(), 10)
    assert gone == []
    assert store.whole((1, 1)) == b"some bytes"
    assert store.part(content, 5, 5) == b"bytes"


def test_parts_that_are_not_there_are_refused() -> None:
    store = ContentStore(100)
    content, _ = store.put((1, 1), b"some bytes")
    with pytest.raises(MalformedError, match="6 bytes from 5 on were requested of a content of 10"):
        store.part(content, 5, 6)
    for other in (Content(content.digest, 11), Content("0" * 64, 10)):
        with pytest.raises(StaleError, match="not offered here"):
            store.part(other, 0, 1)
    with pytest.raises(OversizedError, match="101 bytes is over the limit of 100"):
        store.put((1, 2), bytes(101))
    store.remove((1, 1))
    store.remove((1, 1))
    with pytest.raises(StaleError):
        store.part(content, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), max_size=30))
def test_the_oldest_names_make_room(steps: list[tuple[int, int]]) -> None:
    """Against a list of all that was ever put, from which names are taken from the front until the rest fits."""
    store, model = ContentStore(MOST), list[tuple[tuple[int, int], bytes]]()
    for number, (letter, size) in enumerate(steps):
        data = bytes([letter]) * size
        _, gone = store.put((0, number), data)
        expected = []
        while data not in [one for _, one in model] and sum(map(len, {*(one for _, one in model), data})) > MOST:
            expected.append(model.pop(0)[0])
        model.append(((0, number), data))
        assert gone == expected
        assert store.held == sum(map(len, {one for _, one in model})) <= MOST
        assert all(store.whole(name) == one for name, one in model)
