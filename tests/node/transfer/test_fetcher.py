"""Parts are lost, repeated, late, wrong or broken off; what is fetched is what was offered, or is given up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossy import ManualClock
from meshtune.errors import ForeignError, MalformedError, StaleError
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.fetcher import Fetcher
from meshtune.node.transfer.transfer_messages import Content, ContentPart, PartRequest, content_of

PART, FLIGHT = 256, 3
CONFIG = TransferConfig(part=PART, in_flight=FLIGHT, timeout=1.0, largest=8000, memory=8000)
Asked = tuple[int, PartRequest]


def fetching(data: bytes, holders: list[int], config: TransferConfig = CONFIG) -> tuple[Fetcher, ManualClock]:
    """Return a fetcher that wants ``data`` of ``holders``, who are there."""
    clock = ManualClock()
    fetcher = Fetcher(config, clock)
    for one in holders:
        fetcher.join(one)
    fetcher.want(content_of(data), holders)
    return fetcher, clock


def answered(asked: PartRequest, data: bytes) -> ContentPart:
    return ContentPart(asked.content, asked.offset, data[asked.offset : asked.offset + asked.length])


def pull(fetcher: Fetcher, data: dict[int, bytes]) -> tuple[bytes | None, Counter[int]]:
    """Let holders answer everything at once until a content has come, or nothing is asked for; count who was asked."""
    asked = Counter[int]()
    while requests := fetcher.requests():
        for holder, request in requests:
            asked[holder] += 1
            found = fetcher.take(holder, answered(request, data[holder]))
            if found is not None:
                return found, asked
    return None, asked


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 30), size=st.integers(1, 7000), holders=st.integers(1, 3), hard=st.floats(0, 0.9))
def test_a_content_arrives_bit_for_bit_through_losses_repetitions_and_breaks(
    seed: int, size: int, holders: int, hard: float
) -> None:
    """No neighbour is ever asked for more parts than allowed that it has not answered in time.

    What is fetched again is at most what was in flight when a link broke, timed out, or was answered twice.
    """
    draw = Random(seed)
    data = draw.randbytes(size)
    everybody = list(range(holders))
    fetcher, clock = fetching(data, everybody)
    there, under_way, old = set(everybody), list[tuple[float, Asked]](), list[Asked]()
    parts, asked, excused = -(-size // PART), 0, 0
    found = None
    for step in range(2000):
        rough = step < 150 and draw.random() < hard
        if rough and draw.random() < 0.1:
            one = draw.choice(everybody)
            if one in there:
                there.discard(one)
                fetcher.leave(one)
                broken = [entry for entry in under_way if entry[1][0] == one]
                assert len(broken) <= FLIGHT
                excused += len(broken)
                under_way = [entry for entry in under_way if entry[1][0] != one]
            else:
                there.add(one)
                fetcher.join(one)
        if step == 150:
            for one in everybody:
                there.add(one)
                fetcher.join(one)
        if rough and draw.random() < 0.1:
            clock.seconds += draw.uniform(0, 2)
        late = [entry for entry in under_way if entry[0] <= clock.now()]
        excused += len(late)
        under_way = [entry for entry in under_way if entry[0] > clock.now()]
        old += [entry[1] for entry in late]
        for request in fetcher.requests():
            asked += 1
            assert request[0] in there
            under_way.append((clock.now() + 1.0, request))
        per_link = Counter(holder for _, (holder, _) in under_way)
        assert not per_link or max(per_link.values()) <= FLIGHT
        assert fetcher.reserved <= CONFIG.memory
        if rough and draw.random() < 0.3:
            if under_way:
                clock.seconds += 0.1  # an answer is lost: nobody takes it, and it times out
        elif rough and old and draw.random() < 0.5:
            holder, request = draw.choice(old)  # a late answer, or one that comes twice
            found = fetcher.take(holder, answered(request, data))
            under_way = [entry for entry in under_way if entry[1] != (holder, request)]  # it has been answered
        elif under_way:
            at = draw.randrange(len(under_way))
            _, (holder, request) = under_way.pop(at)
            old.append((holder, request))
            found = fetcher.take(holder, answered(request, data))
        else:
            clock.seconds += 0.5
        if found is not None:
            break
    assert found == data
    assert asked <= parts + excused
    assert not fetcher.requests()
    assert not fetcher.failed()


def test_requests_cover_a_content_once_and_fill_all_links() -> None:
    data = bytes(range(250)) * 8
    fetcher, _ = fetching(data, [4, 9])
    first = fetcher.requests()
    assert Counter(holder for holder, _ in first) == {4: FLIGHT, 9: FLIGHT}
    assert sorted((one.offset, one.length) for _, one in first) == [(PART * index, PART) for index in range(6)]
    assert fetcher.requests() == []
    for holder, one in first[:2]:
        assert fetcher.take(holder, answered(one, data)) is None
    assert sorted((one.offset, one.length) for _, one in fetcher.requests()) == [(1536, 256), (1792, 208)]


def test_what_times_out_is_asked_of_another_neighbour_first() -> None:
    data = bytes(700)
    fetcher, clock = fetching(data, [1, 2])
    assert [holder for holder, _ in fetcher.requests()] == [1, 1, 1]
    assert fetcher.deadline() == 1.0
    clock.seconds = 0.99
    assert not fetcher.requests()
    clock.seconds = 1.0
    assert [holder for holder, _ in fetcher.requests()] == [2, 2, 2]


def test_what_is_broken_off_goes_on_where_it_stopped() -> None:
    data = Random(1).randbytes(5000)
    fetcher, _ = fetching(data, [1])
    for _ in range(10):
        for holder, one in fetcher.requests():
            if one.offset < 10 * PART:
                fetcher.take(holder, answered(one, data))
    fetcher.leave(1)
    assert not fetcher.requests()
    assert not fetcher.failed()
    fetcher.join(1)
    found, asked = pull(fetcher, {1: data})
    assert found == data
    assert asked == {1: -(-5000 // PART) - 10}


def test_a_holder_that_is_wrong_twice_is_asked_no_more() -> None:
    data = Random(2).randbytes(2000)
    wrong = data[:900] + b"?" + data[901:]
    fetcher, _ = fetching(data, [1])
    parts = -(-2000 // PART)
    found, asked = pull(fetcher, {1: wrong})
    assert found is None
    assert asked == {1: 2 * parts}
    assert fetcher.failed() == [content_of(data)]
    fetcher, _ = fetching(data, [1])
    fetcher.leave(2)
    assert pull(fetcher, {1: data})[0] == data


@pytest.mark.parametrize("liars", [{1}, {2}, {3}, {1, 2}, {1, 3}, {2, 3}])
def test_the_right_content_is_found_among_holders_who_are_wrong(liars: set[int]) -> None:
    data = Random(4).randbytes(3000)
    wrong = bytes(len(data))
    fetcher, _ = fetching(data, [1, 2, 3])
    found, asked = pull(fetcher, {one: wrong if one in liars else data for one in (1, 2, 3)})
    assert found == data
    assert sum(asked.values()) <= (2 * len(liars) + 2) * -(-3000 // PART)


def test_nothing_is_had_where_all_are_wrong() -> None:
    data = Random(5).randbytes(3000)
    fetcher, _ = fetching(data, [1, 2])
    assert pull(fetcher, {1: bytes(3000), 2: data[::-1]})[0] is None
    assert fetcher.failed() == [content_of(data)]
    assert fetcher.failed() == []
    assert fetcher.reserved == 0


def test_who_has_the_content_no_more_is_left_out() -> None:
    data = bytes(2000)
    fetcher, _ = fetching(data, [1, 2])
    (holder, one), *_ = fetcher.requests()
    assert holder == 1
    assert fetcher.take(1, ContentPart(one.content, one.offset, None)) is None
    fetcher.leave(1)  # with it goes what it was asked for besides
    fetcher.join(1)
    fetcher.leave(2)
    assert not fetcher.requests()
    fetcher.join(2)
    found, asked = pull(fetcher, {2: data})
    assert (found, asked) == (data, {2: -(-2000 // PART)})


def test_parts_that_were_not_asked_for_are_refused() -> None:
    data = bytes(2000)
    fetcher, _ = fetching(data, [1])
    requests = fetcher.requests()
    part = answered(requests[0][1], data)
    with pytest.raises(ForeignError, match="device 2 sent a part that was not requested from it"):
        fetcher.take(2, part)
    with pytest.raises(ForeignError, match="device 1 sent a part that was not requested from it"):
        fetcher.take(1, replace(part, offset=7 * PART, data=data[7 * PART :]))
    with pytest.raises(ForeignError, match="of a content that is not being fetched"):
        fetcher.take(1, replace(part, content=Content("0" * 64, 5)))
    with pytest.raises(ForeignError, match="lacks a content that it did not offer"):
        fetcher.take(2, replace(part, data=None))
    for wrong in (replace(part, data=bytes(PART + 1)), replace(part, data=b""), replace(part, offset=1)):
        with pytest.raises(MalformedError, match="do not match the request"):
            fetcher.take(1, wrong)
    assert pull(fetcher, {1: data})[0] is None  # the first part was answered wrongly and is asked again; two are out
    assert [fetcher.take(1, answered(one, data)) for _, one in requests[1:]][-1] == data
    with pytest.raises(StaleError, match="no longer fetched"):
        fetcher.take(1, part)


def test_memory_is_bounded_and_contents_wait_for_each_other() -> None:
    contents = [Random(seed).randbytes(3000) for seed in range(5)]
    fetcher, _ = fetching(contents[0], [0])
    for holder, data in enumerate(contents):
        fetcher.join(holder)
        fetcher.want(content_of(data), [holder])
    came: list[bytes] = []
    while requests := fetcher.requests():
        assert fetcher.reserved <= 8000
        assert len({one.content for _, one in requests}) <= 2
        for holder, one in requests:
            found = fetcher.take(holder, answered(one, contents[holder]))
            came += [] if found is None else [found]
    assert sorted(came) == sorted(contents)


def test_what_nobody_can_go_on_with_makes_room() -> None:
    large, other = Random(1).randbytes(7000), Random(2).randbytes(6000)
    fetcher, _ = fetching(large, [1])
    for _ in range(3):
        for holder, one in fetcher.requests():
            fetcher.take(holder, answered(one, large))
    fetcher.leave(1)
    fetcher.join(2)
    fetcher.want(content_of(other), [2])
    assert pull(fetcher, {2: other})[0] == other
    fetcher.join(1)
    assert pull(fetcher, {1: large})[0] == large


def test_what_is_not_wanted_any_more_is_given_up() -> None:
    data = bytes(2000)
    fetcher, _ = fetching(data, [1])
    (_, one), *_ = fetcher.requests()
    fetcher.keep([])
    assert fetcher.reserved == 0
    assert fetcher.take(1, answered(one, data)) is None
    assert not fetcher.requests()
