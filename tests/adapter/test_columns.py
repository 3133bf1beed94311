"""Positions over two projections, against a dense B written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.columns import is_common, joined, parted


def test_the_last_columns_of_b_are_those_in_common() -> None:
    """B has 2 rows of 3 own and 2 common columns: 0 1 2 | 3 4 and 5 6 7 | 8 9."""
    own, common = np.array([0, 2, 4]), np.array([1, 2])  # of 0 1 2, 3 4 5 and of 0 1, 2 3
    assert joined(own, common, 5, 2).tolist() == [0, 2, 4, 6, 8]
    assert is_common(np.arange(10), 5, 2).tolist() == [False] * 3 + [True] * 2 + [False] * 3 + [True] * 2


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.data())
def test_parts_are_what_was_joined(columns: int, common_rows: int, outputs: int, data: st.DataObject) -> None:
    dense = np.array(data.draw(st.lists(st.booleans(), min_size=outputs * (columns + common_rows), max_size=200)))
    dense = dense[: outputs * (columns + common_rows)].reshape(outputs, columns + common_rows)
    own, common = np.flatnonzero(dense[:, :columns]), np.flatnonzero(dense[:, columns:])
    both = joined(own, common, columns + common_rows, common_rows)
    assert both.tolist() == np.flatnonzero(dense).tolist()
    again = parted(both, columns + common_rows, common_rows)
    assert (again[0].tolist(), again[1].tolist()) == (own.tolist(), common.tolist())
