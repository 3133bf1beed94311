"""Equal work is done once, until it is released; what failed is not kept."""

from __future__ import annotations

import pytest

from meshtune.wire.content_cache import ContentCache


def test_work_is_done_once_a_key_until_it_is_released() -> None:
    cache, done = ContentCache(), list[str]()

    def work(name: str) -> list[str]:
        done.append(name)
        return [name]

    first = cache.once(("a", 1), lambda: work("first"))
    assert cache.once(("a", 1), lambda: work("again")) is first
    assert cache.once(("a", 2), lambda: work("other")) == ["other"]
    assert cache.once(("a",), lambda: work("shorter")) == ["shorter"]
    cache.release()
    assert cache.once(("a", 1), lambda: work("anew")) == ["anew"]
    assert done == ["first", "other", "shorter", "anew"]
    assert ContentCache().once(("a", 1), lambda: work("elsewhere")) == ["elsewhere"]


def test_nothing_may_be_the_result_and_a_failure_is_none() -> None:
    cache, calls = ContentCache(), list[int]()
    for _ in range(2):
        assert cache.once(("none",), lambda: calls.append(1)) is None  # type: ignore[func-returns-value]
    assert calls == [1]

    def fail() -> int:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        cache.once(("x",), fail)
    assert cache.once(("x",), lambda: 7) == 7
