"""What goes in at one end comes out at the other, once, whole and in order, whatever links do to messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from letters import LAYERS, RANK, announced
from lossy import LossyLinks, ManualClock
from meshtune.adapter.config import AdapterConfig
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.node.transfer.config import TransferConfig
from meshtune.node.transfer.transfer_messages import Offer, PartRequest, Taken, content_of, write_transfer
from meshtune.node.updates import UpdateRules
from meshtune.simulator.introducing import nodes_of

SMALL = TransferConfig(
    whole=300, part=256, in_flight=3, timeout=1.0, largest=20_000, memory=20_000, keep_alive=5.0, silence=16.0
)
Came = list[tuple[int, bytes]]


def envelope(sender: int, receiver: int, data: bytes, version: int = 0, source: int | None = None) -> Envelope:
    return Envelope(sender, receiver, sender if source is None else source, version, data, {"values": len(data)})


def pair(config: TransferConfig = SMALL, seed: int = 1, **links: Any) -> tuple[LossyLinks, list[Came]]:
    """Return links between devices 0 and 1, and what arrives at each."""
    net = LossyLinks(ManualClock(), Random(seed), **links)
    came: list[Came] = [[], []]

    def into(device: int) -> Callable[[int, bytes, float], None]:
        return lambda sender, data, now: came[device].append((sender, data))

    for device in (0, 1):
        net.attach(device, into(device), config=config).meet([1 - device])
    return net, came


def settled(net: LossyLinks) -> bool:
    return not any(end.pending for end in net.ends.values())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=8),
    lost=st.floats(0, 0.4),
    twice=st.floats(0, 0.3),
    damaged=st.floats(0, 0.1),
    breaks=st.lists(st.floats(0, 20), max_size=3),
)
def test_all_arrives_once_and_in_order(
    seed: int, sizes: list[int], lost: float, twice: float, damaged: float, breaks: list[float]
) -> None:
    """Links break for a while too, both ways, longer than a neighbour may be silent."""
    net, came = pair(seed=seed, lost=lost, twice=twice, damaged=damaged)
    draw = Random(seed + 1)
    sent = [draw.randbytes(size) for size in sizes]
    net.ends[0].send([envelope(0, 1, data) for data in sent])
    net.ends[1].send([envelope(1, 0, data[::-1]) for data in sent])
    for seconds in breaks:
        net.run(0.5)
        net.cut = {(0, 1), (1, 0)}
        net.run(seconds)
        net.cut = set()
    assert net.run(4000, lambda: settled(net))
    assert came[1] == [(0, data) for data in sent]
    assert came[0] == [(1, data[::-1]) for data in sent]
    assert not any(end.undelivered for end in net.ends.values())
    for end in net.ends.values():
        assert set(end.refused) <= ({"MalformedError", "OversizedError", "StaleError"} if damaged else {"StaleError"})


def test_small_contents_travel_in_their_offer_and_large_ones_in_parts() -> None:
    net, came = pair()
    net.ends[0].send([envelope(0, 1, b"a" * 300), envelope(0, 1, b"b" * 1000)])
    assert net.run(10, lambda: settled(net))
    assert [len(data) for _, data in came[1]] == [300, 1000]
    assert net.sent["fetch"] == net.sent["part"] == 4
    assert net.sent["offer"] == net.sent["taken"] == 2


def test_a_content_larger_than_allowed_is_refused_and_what_follows_arrives() -> None:
    net, came = pair()
    net.ends[0].send([envelope(0, 1, bytes(20_001)), envelope(0, 1, b"next" * 100)])
    assert net.run(10, lambda: settled(net))
    assert came[1] == [(0, b"next" * 100)]
    assert net.ends[1].refused == {"OversizedError": 1}
    assert net.sent["fetch"] == 2


def test_a_newer_update_replaces_one_that_nobody_has_begun_to_fetch() -> None:
    net, came = pair()
    net.cut = {(0, 1)}
    updates = [envelope(0, 1, bytes([version]) * 2000, version) for version in (1, 2, 3)]
    net.ends[0].send([updates[0], envelope(0, 1, b"other"), *updates[1:], envelope(0, 1, b"x" * 900, 2, source=7)])
    assert net.ends[0].pending == 3
    net.run(3)
    net.cut = set()
    assert net.run(60, lambda: settled(net))
    assert [data[:5] for _, data in came[1]] == [b"other", bytes([3]) * 5, b"xxxxx"]


def test_an_update_that_is_being_fetched_is_not_replaced() -> None:
    net, came = pair()
    net.ends[0].send([envelope(0, 1, b"1" * 5000, 1)])
    net.run(10, lambda: net.sent["part"] > 2)
    net.ends[0].send([envelope(0, 1, b"2" * 5000, 2)])
    assert net.run(60, lambda: settled(net))
    assert [data[:1] for _, data in came[1]] == [b"1", b"2"]


def test_who_is_silent_counts_as_gone_and_comes_back_with_its_next_message() -> None:
    net, came = pair()
    net.run(100)
    assert not net.ends[0].gone
    began = net.clock.now()
    net.cut = {(1, 0)}
    net.run(30, lambda: bool(net.ends[0].gone))
    assert net.ends[0].gone == {1}
    assert 16 - 5 - 0.2 <= net.clock.now() - began <= 16
    before = net.sent["offer"]
    net.ends[0].send([envelope(0, 1, b"later" * 200)])
    net.run(20)
    assert net.sent["offer"] == before
    net.cut = set()
    assert net.run(10, lambda: settled(net))
    assert came[1] == [(0, b"later" * 200)]


def test_who_comes_back_is_told_at_once_what_it_missed() -> None:
    """An offer that was said in vain is said again with the neighbour's first message, not when it is next due."""
    net, came = pair()
    net.run(1)
    net.cut = {(0, 1), (1, 0)}
    net.ends[0].send([envelope(0, 1, b"missed" * 10)])
    net.run(20)
    assert net.ends[0].gone == {1}
    net.cut = set()
    net.run(6, lambda: not net.ends[0].gone)
    assert not came[1]
    assert net.run(0.5, lambda: settled(net))
    assert came[1] == [(0, b"missed" * 10)]


def test_what_is_begun_with_one_neighbour_is_ended_with_another() -> None:
    """Devices 0 and 2 offer the same content; 0 breaks off, and nothing that came is fetched again."""
    net, came = pair()
    net.attach(2, lambda sender, data, now: None, config=SMALL).meet([1])
    net.ends[1].meet([0, 2])
    net.ends[2].meet([1])
    data = Random(3).randbytes(10_000)
    net.ends[0].send([envelope(0, 1, data)])
    net.run(60, lambda: net.sent["part"] >= 12)
    net.cut = {(0, 1), (1, 0)}
    net.run(20)
    assert net.ends[1].gone == {0}
    net.ends[2].send([envelope(2, 1, data)])
    assert net.run(20, lambda: not net.ends[2].pending)
    assert came[1] == [(0, data), (2, data)]
    parts = -(-len(data) // SMALL.part)
    asked_in_vain = net.sent["fetch"] - net.sent["part"]
    assert net.sent["part"] <= parts + SMALL.in_flight
    assert asked_in_vain <= SMALL.in_flight * 20  # one round of time-outs a second until it counted as gone


def test_a_restarted_device_is_understood_again() -> None:
    net, came = pair()
    net.ends[0].send([envelope(0, 1, b"before" * 100), envelope(0, 1, b"small")])
    assert net.run(10, lambda: settled(net))
    net.attach(0, lambda sender, data, now: None, config=SMALL, session=1).meet([1])
    net.ends[0].send([envelope(0, 1, b"after" * 100)])
    assert net.run(10, lambda: settled(net))
    assert [data[:5] for _, data in came[1]] == [b"befor", b"small", b"after"]


def test_strangers_other_federations_and_nonsense_are_refused_and_counted() -> None:
    net, came = pair()
    end, content = net.ends[1], content_of(b"x" * 900)
    offer = Offer(0, 1, 1, 0, 0, content)
    end.receive(5, write_transfer(offer, 5, "meshtune"))
    end.receive(0, write_transfer(offer, 0, "others"))
    end.receive(0, write_transfer(offer, 4, "meshtune"))
    assert end.refused == {"ForeignError": 3}
    end.receive(0, b"nonsense")
    end.receive(0, write_transfer(PartRequest(content, 0, 5), 0, "meshtune"))
    end.receive(0, write_transfer(Taken(0, 9), 0, "meshtune"))
    assert end.answer(0, write_transfer(offer, 0, "meshtune")) is None
    assert end.refused["MalformedError"] == 4
    end.receive(0, write_transfer(Taken(7, 0), 0, "meshtune"))
    assert end.refused["StaleError"] == 1
    end.receive(0, write_transfer(Offer(0, 500, 1, 0, 0, content), 0, "meshtune"))
    assert end.refused["OversizedError"] == 1
    assert not came[1]


def test_what_its_holder_has_no_more_is_reported_as_not_arrived() -> None:
    net, came = pair()
    net.ends[1].receive(0, write_transfer(Offer(0, 1, 1, 0, 0, content_of(bytes(900))), 0, "meshtune"))
    net.ends[0].send([envelope(0, 1, b"taken"), envelope(0, 1, b"arrives")])
    assert net.run(20, lambda: settled(net))
    assert net.ends[1].undelivered == {0: 1}
    assert came[1] == [(0, b"arrives")]


Carry = Callable[[Sequence[Envelope]], None]


def federation() -> tuple[list[Node], ExpertFactory]:
    method, factory = get_method("bank"), ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    return nodes_of([announced(device) for device in range(3)], method, factory, {}, True), factory


def live(nodes: list[Node], factory: ExpertFactory, form: str, carry: Carry) -> None:
    """Let nodes on a ring introduce themselves and play three rounds; values move by a known random step."""
    ring = {device: [other for other in range(3) if other != device] for device in range(3)}

    def all_say(say: Callable[[Node], list[Envelope]]) -> bool:
        said = [one for node in nodes for one in say(node)]
        carry(said)
        return bool(said)

    for node in nodes:
        node.meet(ring[node.device])
    all_say(Node.announcement_news)
    while all_say(Node.announcement_requests):
        all_say(Node.requested_announcements)
        all_say(Node.announcement_news)
    for node in nodes:
        assert len(node.member.known) == 3
        node.begin()
        node.links = tuple(ring[node.device])
    for number in range(1, 4):
        factory.release()
        settings = ExchangeConfig(values=form, block=32)  # type: ignore[arg-type]
        rules = UpdateRules(nodes[0].method, factory, settings, number)
        for node in nodes:
            expert = node.member.expert
            step = np.random.default_rng([number, node.device]).laplace(size=expert.count).astype("f4") * 0.01
            node.member.expert = expert.with_values(expert.values + torch.from_numpy(step))
            node.begin_round(rules)
            node.publish()
        all_say(Node.exchange)
        assert not all_say(Node.corrections)
        for node in nodes:
            node.end_round()


def became(nodes: list[Node]) -> list[Any]:
    return [
        (
            node.member.expert.digest,
            {source: (update.version, update.digest) for source, update in sorted(node.member.held.items())},
            {device: known.digest for device, known in sorted(node.member.known.items())},
            dict(node.refused),
        )
        for node in nodes
    ]


@pytest.mark.parametrize("form", ["bfloat16", "int4"])
def test_nodes_become_over_lossy_links_what_they_become_in_memory(form: str) -> None:
    """The handshake, masks and statistics included, and rounds: the same experts and banks, bit for bit."""
    nodes, factory = federation()

    def at_once(envelopes: Sequence[Envelope]) -> None:
        for one in envelopes:
            nodes[one.receiver].receive(one.sender, one.data)

    live(nodes, factory, form, at_once)
    others, factory = federation()
    net = LossyLinks(ManualClock(), Random(5), lost=0.15, twice=0.1, damaged=0.03)
    for node in others:
        net.attach(node.device, node.receive, config=SMALL)
    for node in others:
        net.ends[node.device].meet([one for one in range(3) if one != node.device])

    def in_parts(envelopes: Sequence[Envelope]) -> None:
        for device, end in net.ends.items():
            end.send([one for one in envelopes if one.sender == device])
        assert net.run(3000, lambda: settled(net))

    live(others, factory, form, in_parts)
    assert became(others) == became(nodes)
    assert all(len(bank) == 3 for _, bank, _, _ in became(nodes))
    assert net.sent["part"] > 100
    assert any(end.refused["MalformedError"] for end in net.ends.values())
