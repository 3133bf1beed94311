"""One content on its way in: its parts cover it once, and who is wrong is found by the digest of the whole."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import ForeignError, MalformedError
from meshtune.node.transfer.download import Download
from meshtune.node.transfer.transfer_messages import content_of

DATA = bytes(range(10))


def begun(data: bytes = DATA, part: int = 4, holders: tuple[int, ...] = (1, 2)) -> Download:
    found = Download(content_of(data), part)
    found.offer(holders)
    found.begun = True
    return found


def asked(one: Download, holder: int) -> list[tuple[int, int]]:
    return list(iter(lambda: one.ask(holder), None))  # type: ignore[arg-type]


def bring(one: Download, holder: int, offset: int, data: bytes) -> None:
    """Let an answer come: its request is no longer in flight."""
    one.lose(offset)
    one.put(holder, offset, data)


def fill(one: Download, holder: int, data: bytes = DATA) -> bytes | None:
    """Ask one holder for all that is left, and let it answer with parts of ``data``."""
    for offset, length in asked(one, holder):
        bring(one, holder, offset, data[offset : offset + length])
    return one.finish()


def test_parts_by_hand() -> None:
    one = begun()
    assert [one.ask(1), one.ask(2), one.ask(1), one.ask(2)] == [(0, 4), (4, 4), (8, 2), None]
    one.lose(4)
    assert one.ask(1) == (4, 4)
    one.put(1, 4, DATA[4:8])
    one.put(2, 4, b"late")  # it was asked for it too, and comes second
    assert one.finish() is None
    one.put(1, 0, DATA[:4])
    one.put(1, 8, DATA[8:])
    assert one.finish() == DATA


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 1 << 30))
def test_what_is_asked_for_covers_the_content_once_whatever_is_lost(size: int, part: int, seed: int) -> None:
    draw = Random(seed)
    data = draw.randbytes(size)
    one = begun(data, part)
    came: dict[int, bytes] = {}
    while (found := one.finish()) is None:
        holder = draw.choice([1, 2])
        requests = asked(one, holder)
        assert requests
        draw.shuffle(requests)
        for offset, length in requests:
            assert offset not in came
            if draw.random() < 0.4:
                one.lose(offset, late=holder)
            else:
                came[offset] = data[offset : offset + length]
                bring(one, holder, offset, came[offset])
    assert found == data == b"".join(came[offset] for offset in sorted(came))


def test_the_best_to_ask_is_who_was_neither_wrong_nor_late() -> None:
    one = begun(holders=(3, 1, 2))
    assert one.choose([1, 2, 3, 9]) == [1, 2, 3]
    one.ask(1)
    one.lose(0, late=1)
    assert one.choose([1, 2, 3]) == [2, 3, 1]
    assert one.choose([1, 3]) == [3, 1]
    one.withdraw(2)
    assert one.choose([1, 2, 3]) == [3, 1]
    one.offer([2])
    one.disbelieve(3)
    one.offer([3])
    assert one.choose([1, 2, 3]) == [2, 1]
    one.lose(0, late=3)  # of one who is not believed any more


def test_after_a_wrong_content_one_holder_is_asked_at_a_time_and_two_strikes_are_the_end() -> None:
    one = begun()
    assert fill(one, 1, b"wrong bits") is None
    assert one.choose([1, 2]) == [2]  # 1 was wrong
    assert fill(one, 2, b"wrong too.") is None
    assert one.choose([1, 2]) == [1]
    assert fill(one, 1, b"wrong bits") is None
    assert one.choose([1, 2]) == [2]
    one.offer([1])
    assert sorted(one.holders) == [2]  # an offer does not make 1 believed again
    assert fill(one, 2) == DATA


def test_nobody_is_blamed_where_several_had_a_part_in_it() -> None:
    one = begun()
    for holder in (1, 2, 1):
        (offset, length) = one.ask(holder) or (0, 0)
        bring(one, holder, offset, b"x" * length)
    assert one.finish() is None
    assert [holder.wrong for holder in one.holders.values()] == [0, 0]
    assert one.choose([1, 2]) == [1]
    assert one.ask(1) == (0, 4)
    bring(one, 1, 0, DATA[:4])
    one.put(2, 4, DATA[4:8])  # it was asked before, but only 1 counts now
    assert asked(one, 1) == [(4, 4), (8, 2)]


def test_with_another_single_holder_everything_begins_anew() -> None:
    one = begun()
    fill(one, 1, b"wrong bits")
    assert one.choose([1, 2]) == [2]
    assert one.ask(2) == (0, 4)
    bring(one, 2, 0, b"xxxx")
    assert one.choose([2]) == [2]
    assert one.choose([]) == []
    assert one.choose([1]) == [1]  # 2 is gone, and what came of it with it
    assert asked(one, 1) == [(0, 4), (4, 4), (8, 2)]


@pytest.mark.parametrize(
    ("holder", "offset", "data", "error", "said"),
    [
        (9, 0, DATA[:4], ForeignError, "device 9 sent a part that was not requested from it"),
        (2, 0, DATA[:4], ForeignError, "device 2 sent a part that was not requested from it"),
        (1, 4, DATA[4:8], ForeignError, "device 1 sent a part that was not requested from it"),
        (1, 0, DATA[:3], MalformedError, "device 1 sent 3 bytes from 0 on, which do not match the request"),
        (1, 1, DATA[1:5], MalformedError, "device 1 sent 4 bytes from 1 on, which do not match the request"),
        (1, 0, b"", MalformedError, "device 1 sent 0 bytes from 0 on, which do not match the request"),
    ],
)
def test_parts_that_nobody_asked_for(holder: int, offset: int, data: bytes, error: type[Exception], said: str) -> None:
    one = begun()
    assert one.ask(1) == (0, 4)
    with pytest.raises(error) as caught:
        one.put(holder, offset, data)
    assert str(caught.value) == said
    one.put(1, 0, DATA[:4])
    one.disbelieve(1)
    with pytest.raises(ForeignError):
        one.put(1, 0, DATA[:4])


def test_without_room_nothing_is_kept() -> None:
    one = begun()
    one.begun = False
    assert fill(one, 1) is None
    one.begun = True
    assert one.finish() is None
    assert fill(one, 1) == DATA


def test_what_is_dropped_is_asked_for_again_once_nothing_of_it_is_in_flight() -> None:
    one = begun()
    assert [one.ask(1), one.ask(2)] == [(0, 4), (4, 4)]
    bring(one, 1, 0, DATA[:4])
    one.drop()
    assert asked(one, 1) == [(0, 4), (8, 2)]
    one.lose(4)
    assert asked(one, 1) == [(4, 4)]
