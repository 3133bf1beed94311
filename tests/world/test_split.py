"""Which questions are for testing: one core in five, by a hash, apart for every task."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.world.split import is_test


@pytest.mark.parametrize("name", ["claims", "sequel", "sums", "animals", "machines", "crowds"])
def test_one_core_in_five_is_for_testing_and_every_task_draws_its_own(name: str) -> None:
    chosen = [is_test(name, str(number)) for number in range(5000)]
    assert sum(chosen) / 5000 == pytest.approx(0.2, abs=0.02)
    other = [is_test(f"{name}2", str(number)) for number in range(5000)]
    assert sum(one and two for one, two in zip(chosen, other, strict=True)) / 5000 == pytest.approx(0.04, abs=0.01)


@given(st.text(st.characters(codec="utf-8"), max_size=9), st.text(st.characters(codec="utf-8"), max_size=9))
def test_it_is_the_hash_that_the_base_model_was_trained_apart_by(task: str, core: str) -> None:
    """Another split would test the base model on what it has read."""
    digest = hashlib.blake2b(b"\x1f".join([task.encode(), core.encode()]), digest_size=8).digest()
    number = sum(byte * 256**place for place, byte in enumerate(digest))
    assert is_test(task, core) is (number % 5 == 0)
