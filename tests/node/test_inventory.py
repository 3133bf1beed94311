"""Who holds what: known to all who hear each other, told once, written and read again, and no lie believed."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import PayloadError
from meshtune.node.inventory import Entry, Inventory, entries_of, have_message, sources_of, want_message
from meshtune.wire.payload import Message, decode, encode
from meshtune.wire.validation import Receiver

READER = Receiver(round=9, device=0)
SOURCES = st.one_of(st.integers(0, 5), st.integers(0, 1 << 62))


def test_news_are_told_once_and_hearsay_only_where_it_is_wanted() -> None:
    one = Inventory()
    one.open({7: 3})
    one.on_have(2, [(8, 0, 5), (9, 4, 0)])
    assert one.news(1, hearsay=False) == [(7, 3, 0)]
    assert one.news(1) == [(8, 0, 5), (9, 0, 4)]
    assert one.news(1) == []
    one.hold(9, 4)
    assert one.news(1) == [(9, 4, 0)]
    assert one.news(2) == [(7, 3, 0), (8, 0, 5), (9, 4, 0)]  # each neighbour is told by itself
    assert (one.hears(2, 9), one.hears(2, 8), one.hears(5, 9)) == (4, 0, 0)
    one.hold(8, 2)  # an older one than what is heard of
    assert one.news(1) == [(8, 2, 5)]


def test_a_new_time_begins_with_what_those_who_are_there_hold() -> None:
    one = Inventory()
    one.on_have(2, [(8, 5, 6)])
    one.on_have(3, [(8, 7, 0)])
    one.open({8: 4}, neighbours=[2])
    assert one.newest == {8: 5}  # hearsay is forgotten, and device 3 may be out of reach
    assert one.news(1) == [(8, 4, 5)]
    one.open({8: 4})
    assert one.newest == {8: 4}
    assert one.news(1) == []  # what it was told of others is taken back on both sides
    one.open({})
    assert one.news(1) == [(8, 0, 0)]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.data())
def test_the_newest_version_becomes_known_in_a_whole_part(count: int, data: st.DataObject) -> None:
    pairs = [(a, b) for a in range(count) for b in range(a)]
    graph = nx.empty_graph(count)
    graph.add_edges_from(data.draw(st.lists(st.sampled_from(pairs), unique=True)))
    nodes = [Inventory() for _ in range(count)]
    holds = [data.draw(st.dictionaries(st.integers(0, 3), st.integers(1, 9))) for _ in range(count)]
    for node, held in zip(nodes, holds, strict=True):
        node.open(held)
    waiting: list[tuple[int, int, list[Entry]]] = []

    def tell(device: int) -> None:
        waiting.extend((device, other, told) for other in graph[device] if (told := nodes[device].news(other)))

    for device in range(count):
        tell(device)
    while waiting:
        links = sorted({one[:2] for one in waiting})
        link = data.draw(st.sampled_from(links))  # in order on each link, in any order over all
        sender, receiver, told = waiting.pop(next(at for at, one in enumerate(waiting) if one[:2] == link))
        nodes[receiver].on_have(sender, told)
        tell(receiver)
    for part in nx.connected_components(graph):
        newest = {source: max(holds[d].get(source, 0) for d in part) for d in part for source in holds[d]}
        for device in part:
            assert nodes[device].newest == newest
            for other in graph[device]:
                known = {source: nodes[device].hears(other, source) for source in newest}
                assert known == {source: holds[other].get(source, 0) for source in newest}


def test_a_checkpoint_goes_on_where_it_was() -> None:
    one, again = Inventory(), Inventory()
    one.open({7: 3, 8: 1})
    one.on_have(2, [(9, 4, 0), (7, 1, 0)])
    one.news(1)
    one.news(2, hearsay=False)
    again.restore(json.loads(json.dumps(one.snapshot())))
    for node in (one, again):
        node.open({7: 3, 8: 2}, [2])
    assert again.snapshot() == one.snapshot()
    assert (again.newest, again.theirs) == (one.newest, one.theirs)
    for neighbour in (1, 2, 3):
        assert again.news(neighbour) == one.news(neighbour)


@given(st.lists(st.tuples(SOURCES, st.integers(0, 9), st.integers(0, 9)), max_size=6), st.lists(SOURCES, max_size=6))
def test_messages_say_what_was_written(entries: list[Entry], sources: list[int]) -> None:
    have = decode(encode(have_message(4, 9, entries, {"of": "x"})))
    assert (have.sender, have.round, have.meta["of"]) == (4, 9, "x")
    assert entries_of(have, READER) == entries
    want = decode(encode(want_message(4, 9, sources)))
    assert sources_of(want, READER) == sources


def test_small_ids_take_four_bytes_and_only_large_ones_eight() -> None:
    most = (1 << 31) - 1
    for source, kind in ((most, torch.int32), (most + 1, torch.int64)):
        assert have_message(1, 1, [(source, 1, 0)]).tensors["entries"].dtype == kind
        assert want_message(1, 1, [source]).tensors["sources"].dtype == kind


def have(rows: Any, round_: int = 9, **tensors: Any) -> Message:
    return Message("have", 4, round_, 4, {}, {"entries": torch.tensor(rows), **tensors})


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (have([[7, 10, 0]]), "device 4 reports versions 10 and 0 of device 7 in round 9"),
        (have([[7, 1, 10]]), "device 4 reports versions 1 and 10 of device 7 in round 9"),
        (have([[7, -1, 0]]), "versions -1 and 0"),
        (have([[7, 1, -1]]), "versions 1 and -1"),
        (have([[-7, 1, 0]]), "of device -7"),
        (have([[7, 1]]), r"has entries of shape \[1, 2\], expected \[1, 3\]"),
        (have([7, 1, 0]), r"has entries of shape \[3\], expected \[3, 3\]"),
        (have(7), r"has entries of shape \[\], expected \[0, 3\]"),
        (have([[7.0, 1.0, 0.0]]), "has entries of type float32, expected int32 or int64"),
        (have([[7, 1, 0]], more=torch.zeros(1)), "'more' that is not part of it"),
        (have([[7, 1, 0]], 10), "of round 10 in round 9"),
        (Message("have", 4, 9, 4, {}, {}), "without entries"),
        (Message("want", 4, 9, 4, {}, {"entries": torch.zeros(1, 3, dtype=torch.int32)}), "expected one of kind have"),
    ],
)
def test_what_cannot_be_held_is_refused(message: Message, part: str) -> None:
    with pytest.raises(PayloadError, match=part):
        entries_of(message, READER)


def test_a_bound_on_versions_stands_in_for_the_round() -> None:
    assert entries_of(have([[7, 1, 0]]), READER, newest=1) == [(7, 1, 0)]
    with pytest.raises(PayloadError, match="versions 2 and 0"):
        entries_of(have([[7, 2, 0]]), READER, newest=1)
    for tensor in (torch.zeros(2, 2, dtype=torch.int32), torch.zeros(2)):
        with pytest.raises(PayloadError, match=r"has sources of (shape \[2, 2\]|type float32)"):
            sources_of(Message("want", 4, 9, 4, {}, {"sources": tensor}), READER)
