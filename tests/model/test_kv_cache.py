"""Rows that grow, leave and split: the same states with keys and values kept as read anew, and as the model alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from architectures import tiny
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.route import Segments
from meshtune.model.base import Base
from meshtune.model.kv_cache import Cached, Plain, begin
from meshtune.model.probes.probed_base import open_base


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base(tiny("llama").double(), None, "llama")


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny("llama").eval().double()


def alone(plain: Any, rows: list[list[int]]) -> Tensor:
    with torch.no_grad():
        found = [plain(torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0, -1] for row in rows]
    return torch.stack(found)


@pytest.mark.parametrize("kind", [Cached, Plain])
def test_rows_of_unlike_length_grow_leave_and_split(base: Base, plain: Any, kind: Any) -> None:
    past, rows = kind(base), [[5, 9, 3], [4], [8, 7, 7, 2, 1]]
    torch.testing.assert_close(past.read(rows, None), alone(plain, rows), rtol=1e-6, atol=1e-6)
    past.keep([2, 0, 2])  # the second leaves, the third goes on as two
    rows = [rows[2], rows[0], list(rows[2])]
    for more in ([[6], [6], [1]], [[2, 3], [4], [5]]):
        rows = [[*row, *new] for row, new in zip(rows, more, strict=True)]
        torch.testing.assert_close(past.read(more, None), alone(plain, rows), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [Cached, Plain])
def test_rows_may_grow_by_unlike_lengths_when_none_was_padded_before(base: Base, plain: Any, kind: Any) -> None:
    past = kind(base)
    past.read([[5, 9], [4, 1]], None)
    found = past.read([[3], [8, 7, 7]], None)
    torch.testing.assert_close(found, alone(plain, [[5, 9, 3], [4, 1, 8, 7, 7]]), rtol=1e-6, atol=1e-6)


LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(LENGTHS, st.data())
@settings(max_examples=10, deadline=None)
def test_whatever_is_kept_both_ways_see_the_same(base: Base, lengths: list[int], data: st.DataObject) -> None:
    pasts = [Cached(base), Plain(base)]
    token = st.integers(1, 60)
    more = [data.draw(st.lists(token, min_size=n, max_size=n)) for n in lengths]
    for _ in range(3):
        one, other = (past.read(more, None) for past in pasts)
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
        places = data.draw(st.lists(st.integers(0, len(more) - 1), min_size=1, max_size=4))
        for past in pasts:
            past.keep(places)
        more = [data.draw(st.lists(token, min_size=1, max_size=2)) for _ in places]


@pytest.mark.parametrize("kind", [Cached, Plain])
def test_who_answers_is_asked_at_every_step_and_no_gradient_is_kept(base: Base, kind: Any) -> None:
    expert = LoraExpert(base.adapters.layers, 2, 1.0)
    values = torch.randn(expert.count, generator=torch.Generator().manual_seed(0)).double() * 0.1
    expert = expert.with_values(values.requires_grad_())
    route = Segments([(expert, 1), (None, 1)], trainable=True)
    past, frozen = kind(base), kind(base)
    rows = [[5, 9, 3], [4, 1]]
    found, expected = past.read(rows, route), frozen.read(rows, None)
    assert not found.requires_grad
    torch.testing.assert_close(found[1], expected[1], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(found[0], expected[0], rtol=1e-2)


def test_the_base_says_which_way_is_right_for_it(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(begin(base), Cached)
    monkeypatch.setattr(base, "caches", False)
    assert isinstance(begin(base), Plain)
