"""Prompts as routers see them: joined, they keep their order and their views."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtune.routing.features import Features


def test_prompts_are_joined_with_both_views_or_one() -> None:
    one, two = Features(np.ones((2, 3)), np.zeros((2, 3))), Features(np.zeros((1, 3)), np.ones((1, 3)))
    joined = Features.joined([one, two])
    assert len(joined) == 3
    assert joined.embedded is not None
    np.testing.assert_array_equal(joined.embedded[:, 0], [0, 0, 1])
    np.testing.assert_array_equal(joined.hidden[:, 0], [1, 1, 0])
    assert Features.joined([Features(one.hidden), Features(two.hidden)]).embedded is None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_joining_puts_the_prompts_one_behind_the_other(counts: list[int]) -> None:
    rows = np.arange(2.0 * sum(counts)).reshape(-1, 2)
    edges = np.cumsum([0, *counts])
    parts = [Features(rows[a:b], -rows[a:b]) for a, b in pairwise(edges)]
    joined = Features.joined(iter(parts))
    assert [len(part) for part in parts] == counts
    assert joined.embedded is not None
    np.testing.assert_array_equal(joined.hidden, rows)
    np.testing.assert_array_equal(joined.embedded, -rows)
