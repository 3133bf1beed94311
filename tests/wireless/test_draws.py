"""Philox against its published vectors, and draws against the distributions they should have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from meshtune.wireless.draws import normals, philox, uniforms

# Known answers of philox4x32, 10 rounds, from Random123's kat_vectors: counter, key, result.
VECTORS = [
    ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("counter, key, result", VECTORS)
def test_known_answers(counter: str, key: str, result: str) -> None:
    found = philox(np.array(words(counter), dtype=np.uint64)[:, None], *words(key))
    assert found[:, 0].tolist() == words(result)


def test_a_pairs_numbers_do_not_depend_on_the_others() -> None:
    a, b = np.arange(40_000) % 211, np.arange(40_000) // 211
    whole = uniforms(3, "x", 5, first=a, second=b)
    picked = np.array([39_999, 17, 20_000])
    assert (uniforms(3, "x", 5, first=a[picked], second=b[picked]) == whole[:, picked]).all()
    assert len(np.unique(whole)) == whole.size
    assert (whole > 0).all()
    assert (whole < 1).all()


@pytest.mark.parametrize("other", [(4, "x", 5), (3, "y", 5), (3, "x", 6), (3, "x", "5")])
def test_another_seed_or_name_is_another_stream(other: tuple[int, ...]) -> None:
    one = uniforms(3, "x", 5, first=np.arange(100), second=1)
    assert not np.isin(one, uniforms(*other, first=np.arange(100), second=1)).any()


def test_distributions() -> None:
    pair = np.arange(20_000)
    u, v = uniforms(0, "test", first=pair // 100, second=pair % 100)
    assert stats.kstest(u, "uniform").pvalue > 0.001
    assert stats.kstest(v, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.03
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03
    assert stats.kstest(normals(0, "test", first=pair, second=0), "norm").pvalue > 0.001
