"""Streams by their names: the same names give the same numbers, and any other name gives others."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.seeds import key, stream

NAME = st.integers(-5, 5) | st.text("a1:", max_size=3)
NAMES = st.lists(NAME, max_size=4).map(tuple)


def test_the_key_is_the_hash_that_old_runs_were_made_with() -> None:
    text = b"7\x1fstr:device\x1fint:3"
    digest = hashlib.blake2b(text, digest_size=16).digest()
    assert key(7, "device", 3) == sum(byte << 8 * place for place, byte in enumerate(digest))
    assert key(np.int64(7), "device", 3) == key(7, "device", 3)  # type: ignore[arg-type]


@given(st.integers(0, 3), NAMES, st.integers(0, 3), NAMES)
def test_keys_differ_where_the_seed_or_any_name_does(
    seed: int, names: tuple[str | int, ...], other_seed: int, others: tuple[str | int, ...]
) -> None:
    """Also where names look alike when they are strung together: 3 and "3", ("a", "b") and ("ab",)."""
    same = (seed, [(type(n), n) for n in names]) == (other_seed, [(type(n), n) for n in others])
    assert (key(seed, *names) == key(other_seed, *others)) is same


@given(st.integers(0, 2**63 - 1), NAMES)
def test_a_stream_is_philox_under_its_key_whatever_was_drawn_before(seed: int, names: tuple[str | int, ...]) -> None:
    stream(seed, *names).standard_normal(7)
    expected = np.random.Generator(np.random.Philox(key=key(seed, *names))).integers(0, 2**60, 5)
    np.testing.assert_array_equal(stream(seed, *names).integers(0, 2**60, 5), expected)
    assert 0 <= key(seed, *names) < 2**128


def test_streams_of_neighbouring_names_have_nothing_in_common() -> None:
    """Correlations of 64 streams of 2,000 normal numbers stay within five standard errors, 1 / sqrt(2000)."""
    drawn = np.stack([stream(0, "device", n).standard_normal(2000) for n in range(64)])
    correlation = np.corrcoef(drawn) - np.eye(64)
    assert abs(correlation).max() < 5 / 2000**0.5
    assert drawn.mean() == pytest.approx(0, abs=5 / drawn.size**0.5)
