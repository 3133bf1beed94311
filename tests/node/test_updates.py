"""What crosses a graph: the same bits whichever way they came, differences where they are understood, exact bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import DivergedError, PayloadError, UserError
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member
from meshtune.network.federation_state import FederationState
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.node.receiving import receive
from meshtune.node.transport import MemoryTransport, Transport
from meshtune.node.updates import UpdateRules
from meshtune.simulator.free_links import FreeExchange
from meshtune.simulator.rounds import exchange_round
from meshtune.wire.ledger import Ledger
from meshtune.wire.payload import Message, PayloadLimits, decode, encode

DEVICES = 6
LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 24, 40, False) for i in range(2)]
GROUPS = ["a", "b", "a", "c", "d", "e"]
FORMS = ["float32", "bfloat16", "int8", "int4", "int2"]
FULL = {d: [e for e in range(DEVICES) if e != d] for d in range(DEVICES)}
RING = {d: sorted({(d - 1) % DEVICES, (d + 1) % DEVICES}) for d in range(DEVICES)}


def start(name: str) -> tuple[Method, FederationState, ExpertFactory]:
    method, factory = get_method(name), ExpertFactory(LAYERS, AdapterConfig(rank=4), seed=5)
    known = {}
    for device, group in enumerate(GROUPS):
        draw = np.random.default_rng(device)
        masks = tuple(np.sort(draw.choice(size, 60, replace=False)) for size in sizes(LAYERS, 4))
        recipe = Recipe(seed=3, kind="orthogonal", block=ord(group) - 97, rank=4)
        known[device] = Announcement(device, group, 10 * (device + 1), recipe, masks)
    members = [Member(d, own, method.begin(own, known, factory), known=dict(known)) for d, own in known.items()]
    rules = UpdateRules(method, factory, ExchangeConfig(), 0)
    return method, FederationState({name: [Node(member, rules) for member in members]}, Ledger()), factory


def play(
    method: Method,
    state: FederationState,
    factory: ExpertFactory,
    graph: Mapping[int, Sequence[int]],
    form: str,
    train: bool = True,
    transport: Transport | None = None,
    damages: bool = False,
) -> None:
    """A round in which values move by a known random step instead of being trained."""
    nodes = state.nodes[method.name]
    state.round += 1
    factory.release()
    rules = UpdateRules(method, factory, ExchangeConfig(values=form, block=32), state.round)  # type: ignore[arg-type]
    for node in nodes:
        member = node.member
        draw = np.random.default_rng([state.round, member.device])
        step = torch.from_numpy(draw.laplace(size=member.expert.count).astype("f4")) * 0.01 * train
        values, turn = member.expert.values.clone(), member.expert.turn(state.round)
        values[turn] += step[turn]
        member.expert = member.expert.with_values(values)
        node.links = tuple(graph[member.device])
        node.introductions.near = {neighbour: frozenset(graph[neighbour]) for neighbour in node.links}
    exchange_round(nodes, rules, FreeExchange(transport), state)
    assert damages or not any(node.refused for node in nodes)


def random_graph(draw: np.random.Generator) -> dict[int, list[int]]:
    """A connected graph: a random tree and some links more."""
    links = {(int(draw.integers(0, d)), d) for d in range(1, DEVICES)}
    links |= {(min(a, b), max(a, b)) for a, b in draw.integers(0, DEVICES, (2, 2)).tolist() if a != b}
    return {d: sorted({b if a == d else a for a, b in links if d in (a, b)}) for d in range(DEVICES)}


class Recorder(MemoryTransport):
    """Keeps every envelope that it carries."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        self.sent += envelopes
        return envelopes

    @property
    def messages(self) -> list[Message]:
        return [decode(one.data) for one in self.sent]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["bank", "lora", "alternating"])
@pytest.mark.parametrize("changing", [False, True])
def test_all_who_hold_a_version_hold_the_same_bits(form: str, name: str, changing: bool) -> None:
    """Directly, relayed or by keyframe: over graphs that change every round a receiver often lacks the version before.

    A second set of devices opens the same bytes with nothing shared between them, and comes to the same bits.
    """
    method, state, factory = start(name)
    _, lonely, _ = start(name)
    air = Recorder()
    published: dict[tuple[int, int], torch.Tensor] = {}
    ways = set()
    draw = np.random.default_rng(7)
    graph = random_graph(draw)
    for _ in range(6):
        play(method, state, factory, graph, form, transport=air)
        ways |= {("since" in m.meta, m.sender == m.source) for m in air.messages}
        for one in air.sent:
            reader = lonely.nodes[name][one.receiver]
            reader.begin_round(UpdateRules(method, start(name)[2], ExchangeConfig(values=form), state.round))
            reader.receive(one.sender, one.data)
        air.sent.clear()
        for member in state.members[name]:
            published[member.device, state.round] = member.held[member.device].values
        for member, other in zip(state.members[name], lonely.members[name], strict=True):
            for source, update in member.held.items():
                assert torch.equal(update.values, published[source, update.version])
                if source != member.device:
                    assert torch.equal(other.held[source].values, update.values)
                    assert other.held[source].version == update.version
        if changing:
            graph = random_graph(draw)
    relayed = {True, False} if name == "bank" else {True}
    differences = {True, False} if changing else {True}
    assert ways == {(d, r) for d in (differences if form.startswith("int") else {False}) for r in relayed}


@pytest.mark.parametrize("form", FORMS)
def test_one_tensor_holds_one_version(form: str) -> None:
    """Equal experts are trained and scored once only where they are seen to be equal."""
    method, state, factory = start("bank")
    for _ in range(4):
        play(method, state, factory, RING, form)
    tensors: dict[tuple[int, int], set[int]] = {}
    for member in state.members["bank"]:
        for update in member.held.values():
            tensors.setdefault((update.source, update.version), set()).add(id(update.values))
    assert all(len(ids) == 1 for ids in tensors.values())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", [FULL, RING], ids=["full", "ring"])
def test_the_ledger_counts_every_byte_that_was_sent(form: str, graph: dict[int, list[int]]) -> None:
    method, state, factory = start("bank")
    air = Recorder()
    for number in range(1, 5):
        play(method, state, factory, graph, form, transport=air)
        direct = [m for m in air.messages if m.sender == m.source]
        relayed = [m for m in air.messages if m.sender != m.source]
        counted = state.ledger.per_round("bank")[number]
        assert counted["values"] == sum(m.tensors["values"].nbytes for m in direct)
        assert counted["values"] + counted["control"] == sum(len(encode(m)) for m in direct)
        assert counted["relayed"] == sum(len(encode(m)) for m in relayed)
        air.sent.clear()


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_nothing_that_training_did_is_lost(form: str) -> None:
    """Mixing takes each device's own values from it; what its update had left out is in a later one.

    So the reconstructions and what is still to be sent sum to what was trained, and that rest stays one round's.
    """
    method, state, factory = start("bank")
    trained = torch.zeros(120, dtype=torch.float64)
    weights = {0: 10 / 40, 2: 30 / 40}
    for _ in range(20):
        play(method, state, factory, FULL, form)
        for device, weight in weights.items():
            draw = np.random.default_rng([state.round, device])
            trained += weight * torch.from_numpy(draw.laplace(size=120).astype("f4")).double() * 0.01
    members = state.members["bank"]
    got = members[0].expert.values.double()
    owed = torch.zeros(120, dtype=torch.float64)
    for device, weight in weights.items():
        residual = members[device].residual
        assert residual is not None
        assert float(residual.abs().max()) < 0.02
        owed += weight * residual.double()
    torch.testing.assert_close(got + owed, trained, rtol=0, atol=1e-5)
    assert members[1].residual is None  # alone in its group: what was left out is still in its own values


@pytest.mark.parametrize("name", ["bank", "lora", "alternating", "local"])
def test_without_training_everyone_comes_to_the_exact_values(name: str) -> None:
    method, state, factory = start(name)
    play(method, state, factory, FULL, "int4")
    for _ in range(8):
        play(method, state, factory, FULL, "int4", train=False)
    for member in state.members[name]:
        own = member.held[member.device].values.float()
        torch.testing.assert_close(own, member.expert.values, rtol=2.0**-7, atol=5e-4)


def update(meta: dict[str, Any], values: torch.Tensor, number: int = 3) -> Message:
    return Message("update", 1, number, 1, meta, {"values": values})


@pytest.mark.parametrize(
    "message, part",
    [
        (Message("update", 1, 3, 1, {}, {}), "without values"),
        (update({}, torch.zeros(2, 2)), "shape"),
        (
            update({"since": 2}, torch.zeros(20, dtype=torch.uint8)),
            "as the difference to version 2, device 0 holds version 0",
        ),
        (update({"since": 0}, torch.zeros(20, dtype=torch.uint8)), "version 3 of device 1 came as the difference"),
        (update({"since": 0, "version": 1}, torch.zeros(20, dtype=torch.uint8)), "form 0"),
        (update({"version": "x"}, torch.zeros(2)), "is 'x'"),
        (update({"version": -1}, torch.zeros(2)), "is -1"),
        (update({"version": True}, torch.zeros(2)), "is True"),
        (update({}, torch.zeros(20, dtype=torch.uint8)), "form 0"),
    ],
)
def test_updates_that_cannot_be_read_are_refused(message: Message, part: str) -> None:
    method, state, factory = start("bank")
    with pytest.raises(PayloadError, match=part):
        receive(state.members["bank"][0], message, UpdateRules(method, factory, ExchangeConfig(values="int4"), 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_not_published(form: str, value: float) -> None:
    method, state, factory = start("bank")
    member = state.members["bank"][2]
    values = torch.zeros(member.expert.count)
    values[5] = value
    member.expert = member.expert.with_values(values)
    with pytest.raises(DivergedError) as caught:
        play(method, state, factory, FULL, form, train=False)
    assert caught.value.number == 2


@pytest.mark.parametrize("form", FORMS)
def test_values_beyond_bfloat16_are_published_where_the_form_holds_them(form: str) -> None:
    """3.4e38 rounds to infinity in bfloat16; a difference sends as much as it can, and the rest with the next."""
    method, state, factory = start("bank")
    member = state.members["bank"][3]
    member.expert = member.expert.with_values(torch.full((member.expert.count,), 3.4e38))
    if form == "bfloat16":
        with pytest.raises(DivergedError, match="beyond what bfloat16 holds"):
            play(method, state, factory, FULL, form, train=False)
        return
    play(method, state, factory, FULL, form, train=False)
    assert torch.isfinite(state.members["bank"][0].held[3].values).all()


def test_more_values_than_a_message_holds_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    method, state, factory = start("bank")
    monkeypatch.setattr("meshtune.node.updates.encode", lambda message: encode(message, PayloadLimits(elements=100)))
    with pytest.raises(UserError, match=r"bank sends 120 values at once, more than a message may hold \("):
        play(method, state, factory, FULL, "bfloat16")
