"""Reliable links: everybody gets what it cannot hear itself, once, and again where it was refused."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges import DEVICES, FULL, play, start
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.registry import get_method
from meshtune.node.direct_links import ALL, DirectLinks
from meshtune.node.node import Node
from meshtune.node.updates import UpdateRules
from meshtune.wire.payload import decode

ROUND = 3


def holding(name: str = "bank") -> tuple[Node, UpdateRules]:
    """Device 0 after some rounds in which it heard everybody, before the next one is exchanged."""
    method, state, factory = start(name)
    for _ in range(ROUND - 1):
        play(method, state, factory, FULL, "bfloat16")
    node = state.nodes[name][0]
    rules = UpdateRules(method, factory, ExchangeConfig(), ROUND)
    node.begin_round(rules)
    node.publish()
    return node, rules


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_neighbour_is_sent_the_own_update_and_what_it_lacks_and_cannot_hear(data: st.DataObject) -> None:
    node, rules = holding()
    neighbours = data.draw(st.lists(st.integers(1, DEVICES - 1), min_size=1, unique=True).map(sorted))
    devices = st.integers(0, DEVICES - 1)
    near = {one: frozenset(data.draw(st.sets(devices))) for one in neighbours}
    versions = st.dictionaries(devices, st.integers(1, ROUND), max_size=DEVICES)
    links = DirectLinks(node.member)
    links.sent = {one: data.draw(versions) for one in neighbours}
    links.came = {one: data.draw(versions) for one in neighbours}
    before = {one: dict(links.sent[one]) for one in neighbours}
    found = [(one.receiver, one.source, one.version) for one in links.exchange(neighbours, near, rules)]
    due = set()
    for one in neighbours:
        due.add((one, 0, ROUND))
        for source, update in node.member.held.items():
            had = max(before[one].get(source, 0), links.came[one].get(source, 0))
            if source not in (0, one) and source not in near[one] and had < update.version:
                due.add((one, source, update.version))
    assert set(found) == due
    assert len(found) == len(due)
    again = [(one.receiver, one.source) for one in links.exchange(neighbours, near, rules)]
    assert again == [(one, 0) for one in neighbours]


def test_a_method_that_sends_nothing_or_relays_nothing() -> None:
    node, rules = holding("lora")
    assert [one.source for one in DirectLinks(node.member).exchange([1, 2], {}, rules)] == [0, 0]
    local = UpdateRules(get_method("local"), rules.factory, rules.settings, ROUND)
    assert DirectLinks(node.member).exchange([1, 2], {}, local) == []


def test_what_was_refused_is_told_of_and_sent_again() -> None:
    node, rules = holding()
    sender = DirectLinks(node.member)
    first = [one.source for one in sender.exchange([2], {}, rules)]
    receiver = DirectLinks(node.member)
    assert receiver.corrections([0, 1], rules) == []
    receiver.refuse(1)
    (said,) = receiver.corrections([0, 1], rules)
    message = decode(said.data)
    assert (said.receiver, message.kind, message.meta) == (1, "have", {"of": ALL})
    held = {source: update.version for source, update in node.member.held.items()}
    assert {source: version for source, version, _ in message.tensors["entries"].tolist()} == held
    assert receiver.corrections([0, 1], rules) == []
    sender.on_have_all(2, [(1, 1, 0), (3, 2, 0)])
    again = [one.source for one in sender.exchange([2], {}, rules)]
    assert again == [0, 1, *(source for source in first if source not in (0, 1, 3))]
