"""A node takes messages as they come: in any order, late, twice or damaged; what it holds in the end is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges import DEVICES, FULL, RING, Recorder, play, start
from frames import sealed
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.registry import get_method
from meshtune.methods.state import Member
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.node.transport import MemoryTransport
from meshtune.node.updates import UpdateRules
from meshtune.wire.payload import decode, encode

ROUNDS = 4


@lru_cache
def history(form: str) -> tuple[list[Envelope], list[Member]]:
    """Return all that was sent to device 0 in some rounds, and what every device holds after them."""
    method, state, factory = start("bank")
    air = Recorder()
    for _ in range(ROUNDS):
        play(method, state, factory, FULL, form, transport=air)
    return [one for one in air.sent if one.receiver == 0], state.members["bank"]


def rules(form: str, factory: Any) -> UpdateRules:
    return UpdateRules(get_method("bank"), factory, ExchangeConfig(values=form, block=32), ROUNDS)  # type: ignore[arg-type]


def fetch(reader: Node, others: Sequence[Node]) -> None:
    """Let neighbours tell the reader what they hold until it asks for nothing more."""
    everybody = {node.device: node for node in (reader, *others)}
    for node in everybody.values():
        node.open([device for device in everybody if device != node.device], own=True)
    while True:
        for node in everybody.values():
            for one in node.news():
                everybody[one.receiver].process(one.sender, one.data)
        asked = reader.wants()
        if not asked:
            return
        for one in asked:
            everybody[one.receiver].process(one.sender, one.data)
        for node in others:
            for one in node.serve(one_copy=False):
                reader.process(one.sender, one.data)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), form=st.sampled_from(["bfloat16", "int4"]))
def test_orders_repetitions_delays_and_losses_end_in_the_same_bank(data: st.DataObject, form: str) -> None:
    sent, after = history(form)
    arriving = data.draw(st.lists(st.sampled_from(range(len(sent))), max_size=2 * len(sent)))
    _, state, factory = start("bank")
    member = state.members["bank"][0]
    member.held[0] = after[0].held[0]
    reader = Node(member, rules(form, factory), reliable=False)
    for number in arriving:
        reader.receive(sent[number].sender, sent[number].data)
        held = member.held.get(sent[number].source)
        assert held is None or held.version <= ROUNDS
    if form == "bfloat16":
        assert not reader.refused  # a difference may lack the version that it is taken to, values never do
    assert set(reader.refused) <= {"StaleError"}
    others = [Node(one, rules(form, factory), reliable=False) for one in after[1:]]
    fetch(reader, others)
    for source, update in after[0].held.items():
        assert member.held[source].version == update.version == ROUNDS
        assert torch.equal(member.held[source].values, update.values)


class Damaging(MemoryTransport):
    """Flips one bit in every message with some probability."""

    def __init__(self, probability: float) -> None:
        self.probability, self.draw = probability, np.random.default_rng(1)
        self.damaged: list[Envelope] = []

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        found = []
        for one in envelopes:
            if self.draw.random() < self.probability:
                bits = bytearray(one.data)
                at = int(self.draw.integers(8 * len(bits)))
                bits[at // 8] ^= 1 << at % 8
                one = Envelope(one.sender, one.receiver, one.source, one.version, bytes(bits), one.split)
                self.damaged.append(one)
            found.append(one)
        return found


def test_a_run_in_which_messages_arrive_damaged_ends_and_loses_nothing_else() -> None:
    """One in a hundred: each is refused and counted, its receiver goes on with the version before, and catches up."""
    for form in ("bfloat16", "int8", "int4"):
        for graph in (FULL, RING):
            method, state, factory = start("bank")
            air = Damaging(0.01)
            for _ in range(40):
                play(method, state, factory, graph, form, transport=air, damages=True)
            nodes = state.nodes["bank"]
            assert len(air.damaged) > 5
            assert sum(node.refused.total() for node in nodes) >= len(air.damaged)
            for node in nodes:
                for source, update in node.member.held.items():
                    apart = (source - node.device) % DEVICES
                    hops = 1 if graph is FULL else min(apart, DEVICES - apart)
                    assert state.round - update.version <= max(0, hops - 1) + 2  # a damaged message costs two rounds
            air.probability = 0.0
            for _ in range(5):
                play(method, state, factory, graph, form, transport=air, damages=True)
            before = [node.refused.total() for node in nodes]
            play(method, state, factory, graph, form, transport=air, damages=True)
            assert [node.refused.total() for node in nodes] == before
            for node in nodes:
                for source, update in node.member.held.items():
                    assert torch.equal(update.values, nodes[source].member.held[source].values) or graph is RING


def test_refusals_are_counted_by_what_was_wrong() -> None:
    """Damage, a stranger, a difference to what is not held, a round to come, and a claim beyond all bounds."""
    sent, _ = history("int4")
    _, state, factory = start("bank")
    reader = Node(state.members["bank"][0], rules("int4", factory))
    one = next(one for one in sent if one.version == 2)
    reader.receive(one.sender, one.data[:-1] + bytes([one.data[-1] ^ 1]))
    reader.receive((one.sender + 1) % DEVICES, one.data)
    reader.receive(one.sender, one.data)
    reader.receive(one.sender, encode(replace(decode(one.data), round=ROUNDS + 1)))
    reader.receive(one.sender, sealed((1 << 40).to_bytes(8, "little")))
    assert reader.refused == dict.fromkeys(
        ("MalformedError", "ForeignError", "StaleError", "EarlyError", "OversizedError"), 1
    )


def test_a_neighbour_may_be_some_rounds_ahead() -> None:
    """What comes early waits for its round, a checkpoint between; the bank is that of devices that keep step."""
    sent, after = history("bfloat16")
    _, state, factory = start("bank")
    reader = Node(state.members["bank"][0], rules("bfloat16", factory), reliable=False)

    def begin(node: Node, number: int, ahead: int) -> None:
        node.begin_round(replace(rules("bfloat16", factory), round=number, ahead=ahead))

    begin(reader, 1, ahead=2)
    for one in sent:
        reader.receive(one.sender, one.data)
    assert reader.refused == {"EarlyError": sum(decode(one.data).round == ROUNDS for one in sent)}
    assert {update.version for update in reader.member.held.values()} == {1}
    tensors: dict[str, torch.Tensor] = {}

    def put(tensor: torch.Tensor) -> str:
        tensors[f"{len(tensors)}"] = tensor
        return f"{len(tensors) - 1}"

    saved = reader.snapshot(put)
    _, again, _ = start("bank")
    resumed = Node(again.members["bank"][0], rules("bfloat16", factory), reliable=False)
    updates = reader.member.held
    resumed.restore(saved, lambda first, *more: updates[first] if more else tensors[first])
    for number in (2, 3):
        for node in (reader, resumed):
            begin(node, number, ahead=2)
            assert {update.version for update in node.member.held.values()} == {number}
    begin(resumed, ROUNDS, ahead=0)
    for one in sent:
        resumed.receive(one.sender, one.data)
    for source, update in after[0].held.items():
        assert source == 0 or torch.equal(resumed.member.held[source].values, update.values)


def test_what_is_too_old_is_refused_within_a_stated_bound() -> None:
    sent, _ = history("bfloat16")
    for behind, oldest in ((None, 1), (2, 2), (0, 4)):
        _, state, factory = start("bank")
        reader = Node(state.members["bank"][0], replace(rules("bfloat16", factory), behind=behind), reliable=False)
        for one in sent:
            reader.receive(one.sender, one.data)
        old = [one for one in sent if one.version < oldest]
        assert reader.refused == ({"StaleError": len(old)} if old else {})
        assert {update.version for update in reader.member.held.values()} == {ROUNDS}
