"""What crosses a graph: the same bits whichever way they came, differences where they are understood, exact bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
from meshtune.methods.state import Announcement, Member, Update
from meshtune.network.federation_state import FederationState
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.node.receiving import receive
from meshtune.node.transport import MemoryTransport, Transport
from meshtune.node.updates import UpdateRules, write_update
from meshtune.simulator.free_links import FreeExchange
from meshtune.simulator.rounds import exchange_round
from meshtune.wire.chosen_values import apply_chosen
from meshtune.wire.ledger import Ledger
from meshtune.wire.payload import Message, PayloadLimits, decode, encode
from tensors import Shelf, bits

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
        own = tuple(np.sort(draw.choice(size, 30, replace=False)) for size in sizes(LAYERS, 2))
        recipe = Recipe(seed=3, kind="orthogonal", block=ord(group) - 97, rank=4)
        announced = Announcement(device, group, 10 * (device + 1), recipe, masks, others={"own": own})
        known[device] = method.announces(announced, factory)
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
@pytest.mark.parametrize("name", ["bank", "lora", "alternating", "proposed"])
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
    relayed = {True, False} if name in ("bank", "proposed") else {True}
    differences = {True, False} if changing else {True}
    coded = form.startswith("int") or name == "proposed"
    assert ways == {(d, r) for d in (differences if coded else {False}) for r in relayed}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["bank", "proposed"])
def test_one_tensor_holds_one_version(form: str, name: str) -> None:
    """Equal experts are trained and scored once only where they are seen to be equal."""
    method, state, factory = start(name)
    for _ in range(4):
        play(method, state, factory, RING, form)
    tensors: dict[tuple[int, int], set[int]] = {}
    for member in state.members[name]:
        for update in member.held.values():
            tensors.setdefault((update.source, update.version), set()).add(id(update.values))
    assert all(len(ids) == 1 for ids in tensors.values())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", [FULL, RING], ids=["full", "ring"])
@pytest.mark.parametrize("name", ["bank", "proposed"])
def test_the_ledger_counts_every_byte_that_was_sent(form: str, graph: dict[int, list[int]], name: str) -> None:
    method, state, factory = start(name)
    air = Recorder()
    for number in range(1, 5):
        play(method, state, factory, graph, form, transport=air)
        direct = [m for m in air.messages if m.sender == m.source]
        relayed = [m for m in air.messages if m.sender != m.source]
        counted = state.ledger.per_round(name)[number]
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


COMMON = 2 * 2 * (24 + 40)
"""Values of the common part of ``proposed``: of rank 2, in two layers; a round sends 26 of them."""
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def steps(device: int, round_: int, count: int) -> torch.Tensor:
    """Return what :func:`play` adds to a device's values instead of training."""
    draw = np.random.default_rng([round_, device])
    return torch.from_numpy(draw.laplace(size=count).astype("f4")) * 0.01


@pytest.mark.parametrize("form", FORMS)
def test_of_a_common_part_exactly_the_largest_changes_are_published(form: str) -> None:
    """The change is to what everybody holds, and what earlier rounds left out is part of it."""
    method, state, factory = start("proposed")
    node = state.nodes["proposed"][1]
    member, kind = node.member, TYPES.get(form, torch.bfloat16)
    held = member.expert.values.to(kind)
    for number in range(1, 8):
        rules = UpdateRules(method, factory, ExchangeConfig(values=form, block=32), number)  # type: ignore[arg-type]
        node.begin_round(rules)
        member.expert = member.expert.with_values(member.expert.values + steps(1, number, member.expert.count))
        target = member.expert.values + (0.0 if member.residual is None else member.residual)
        found = node.publish()
        change = (target - held.float())[:COMMON].abs()
        left = torch.ones(COMMON, dtype=torch.bool)
        left[torch.topk(change, 26).indices] = False
        assert torch.equal(bits(found.values)[:COMMON][left], bits(held)[:COMMON][left])
        assert found.coded is not None
        sent = apply_chosen(found.coded.numpy().tobytes(), held, form)
        assert torch.equal(bits(sent), bits(found.values))
        if form in TYPES:
            assert torch.equal(found.values[:COMMON][~left], target[:COMMON][~left].to(kind))
            assert torch.equal(found.values[COMMON:], target[COMMON:].to(kind))
            assert found.coded.numel() <= (26 + 60) * kind.itemsize + 4 + 13 + (COMMON + 60) // 8 + 1
        assert member.residual is not None
        assert torch.equal(member.residual, target - found.values.float())
        held = found.values
        node.end_round()


def test_many_rounds_are_top_k_with_error_feedback() -> None:
    """Six devices that hear each other, in float32, against a simulation in float64.

    Device i wants to add c = e_i + d_i to the common part, d_i being what it trained: it sends the 26 largest of c,
    y_i grows by these, and the others are its next e_i. All start the next round from the mean of y_i by rows.
    """
    method, state, factory = start("proposed")
    members = state.members["proposed"]
    rows = np.array([10.0 * (d + 1) for d in range(DEVICES)])
    begun = members[0].expert.values[:COMMON].double().numpy()
    y, e = np.tile(begun, (DEVICES, 1)), np.zeros((DEVICES, COMMON))
    trained = np.zeros((DEVICES, COMMON))
    for number in range(1, 26):
        play(method, state, factory, FULL, "float32")
        for d in range(DEVICES):
            step = steps(d, number, members[d].expert.count)[:COMMON].double().numpy()
            c = e[d] + step
            chosen = np.argsort(-np.abs(c))[:26]
            y[d][chosen] += c[chosen]
            c[chosen] = 0.0
            e[d] = c
            trained[d] += step
        x = rows @ y / rows.sum()
        for d, member in enumerate(members):
            np.testing.assert_allclose(member.held[d].values[:COMMON].double(), y[d], rtol=0, atol=2e-6)
            np.testing.assert_allclose(member.expert.values[:COMMON].double(), x, rtol=0, atol=2e-6)
            assert torch.equal(member.expert.values[:COMMON], members[0].expert.values[:COMMON])
            assert member.residual is not None
            owed = member.residual[:COMMON].double().numpy() + x - y[d]  # what has not been sent yet
            np.testing.assert_allclose(owed, e[d], rtol=0, atol=2e-6)
            np.testing.assert_allclose(y[d] - begun + e[d], trained[d], rtol=0, atol=1e-9)
    assert np.abs(e).max() < 0.3
    assert np.abs(trained).max() > 0.1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", [FULL, RING], ids=["full", "ring"])
def test_what_was_sent_and_what_is_left_out_is_what_was_trained(form: str, graph: dict[int, list[int]]) -> None:
    """In every form and whoever is heard late: of the common part, and of each group's own."""
    method, state, factory = start("proposed")
    members = state.members["proposed"]
    begun = {d: members[d].expert.values.double() for d in range(DEVICES)}
    trained = {d: torch.zeros(members[d].expert.count, dtype=torch.float64) for d in range(DEVICES)}
    for number in range(1, 21):
        play(method, state, factory, graph, form)
        for d in range(DEVICES):
            trained[d] += steps(d, number, members[d].expert.count).double()
    for d, member in enumerate(members):
        assert member.residual is not None
        total = member.expert.values.double() + member.residual.double() - begun[d]
        torch.testing.assert_close(total[:COMMON], trained[d][:COMMON], rtol=0, atol=1e-5)
        if d not in (0, 2):  # alone in its group
            torch.testing.assert_close(total[COMMON:], trained[d][COMMON:], rtol=0, atol=1e-5)
    if graph is FULL:
        got, owed = members[0].expert.values[COMMON:].double(), torch.zeros(60, dtype=torch.float64)
        mean = torch.zeros(60, dtype=torch.float64)
        for d, weight in ((0, 10 / 40), (2, 30 / 40)):
            residual = members[d].residual
            assert residual is not None
            owed, mean = owed + weight * residual[COMMON:].double(), mean + weight * trained[d][COMMON:]
        torch.testing.assert_close(got + owed, mean, rtol=0, atol=1e-5)


def test_what_is_left_out_is_sent_later() -> None:
    """Ten rounds of 26 values are more than 256: then the common part is the mean of all that was trained."""
    method, state, factory = start("proposed")
    members = state.members["proposed"]
    begun = members[0].expert.values[:COMMON].double()
    play(method, state, factory, FULL, "float32")
    for _ in range(9):
        play(method, state, factory, FULL, "float32", train=False)
    mean = sum(10 * (d + 1) / 210 * steps(d, 1, COMMON + 60)[:COMMON].double() for d in range(DEVICES))
    for member in members:
        torch.testing.assert_close(member.expert.values[:COMMON].double() - begun, mean, rtol=0, atol=1e-6)


def read(sent: bytes, reader: Member, rules: UpdateRules) -> Update:
    found = receive(reader, decode(sent), rules)
    reader.held[found.source] = found
    return found


@pytest.mark.parametrize("form", FORMS)
def test_changes_after_any_version_give_the_bits_of_the_chain_of_differences(form: str) -> None:
    """Device 1 publishes five times; device 0 hears each, 3 and 5 the second and the last, 4 only the last."""
    method, state, factory = start("proposed")
    node, (zero, _, _, late, new, last) = state.nodes["proposed"][1], state.members["proposed"]
    member = node.member
    for number in range(1, 6):
        rules = UpdateRules(method, factory, ExchangeConfig(values=form, block=32), number)  # type: ignore[arg-type]
        node.begin_round(rules)
        member.expert = member.expert.with_values(member.expert.values + steps(1, number, member.expert.count))
        update = node.publish()
        data, _ = write_update(update, member, number - 1, rules)
        assert decode(data).meta["since"] == number - 1
        with pytest.raises(PayloadError, match="holds version 0") if number > 1 else nullcontext():
            receive(new, decode(data), rules)
        found = read(data, zero, rules)
        assert torch.equal(bits(found.values), bits(update.values))
        assert torch.equal(found.changed, update.changed)
        if number == 2:
            for reader in (late, last):
                assert torch.equal(
                    bits(read(write_update(update, member, 0, rules)[0], reader, rules).values), bits(found.values)
                )
        node.end_round()
    after = {known: write_update(update, member, known, rules)[0] for known in (0, 2)}
    assert {known: decode(data).meta for known, data in after.items()} == {0: {"after": 0}, 2: {"after": 2}}
    assert len(after[2]) < len(after[0])
    with pytest.raises(PayloadError, match="as the changes after version 2, device 4 holds version 0"):
        receive(new, decode(after[2]), rules)
    for reader, sent in (
        (late, after[2]),
        (new, after[0]),
        (last, write_update(read(after[2], late, rules), late, 2, rules)[0]),
    ):
        found = read(sent, reader, rules)
        assert found.values.dtype == update.values.dtype
        assert torch.equal(bits(found.values), bits(update.values))
        assert found.digest == update.digest
        assert found.changed is not None
        assert update.changed is not None
        assert bool((found.changed >= update.changed).all())  # never less is sent on than has changed
    passed, _ = write_update(zero.held[1], zero, 4, rules)  # as the difference that it came as
    assert decode(passed).meta == {"since": 4, "version": 5}
    with pytest.raises(PayloadError, match="as the changes after version 4, device 3 holds version 5"):
        receive(late, decode(passed), rules)


@pytest.mark.parametrize("form", FORMS)
def test_what_changed_long_ago_is_still_sent_to_who_has_nothing(form: str) -> None:
    """Versions are counted in 16 bits: those beyond are taken to have changed whenever it matters."""
    method, state, factory = start("proposed")
    node, (reader, *_) = state.nodes["proposed"][1], state.members["proposed"]
    for number in (1, 40_000, 40_001, 40_002):
        rules = UpdateRules(method, factory, ExchangeConfig(values=form, block=32), number)  # type: ignore[arg-type]
        node.begin_round(rules)
        member = node.member
        member.expert = member.expert.with_values(member.expert.values + steps(1, number, member.expert.count))
        update = node.publish()
        if number in (40_000, 40_002):
            known = 0 if number == 40_000 else 40_000
            found = read(write_update(update, member, known, rules)[0], reader, rules)
            assert torch.equal(bits(found.values), bits(update.values))
        node.end_round()


@pytest.mark.parametrize("form", FORMS)
def test_messages_in_another_order_make_the_same_experts(form: str) -> None:
    method, state, factory = start("proposed")
    air, order = Recorder(), np.random.default_rng(0)
    _, other, apart = start("proposed")
    for _ in range(4):
        play(method, state, factory, FULL, form, transport=air)
        apart.release()
        rules = UpdateRules(method, apart, ExchangeConfig(values=form, block=32), state.round)  # type: ignore[arg-type]
        for node in other.nodes["proposed"]:
            node.begin_round(rules)
            node.member.expert = node.member.expert.with_values(
                node.member.expert.values + steps(node.device, state.round, node.member.expert.count)
            )
            node.publish()
        for at in order.permutation(len(air.sent)):
            one = air.sent[at]
            if decode(one.data).kind == "update":
                other.nodes["proposed"][one.receiver].process(one.sender, one.data)
        air.sent.clear()
        for node in other.nodes["proposed"]:
            node.end_round()
        for mine, theirs in zip(state.members["proposed"], other.members["proposed"], strict=True):
            assert mine.expert.digest == theirs.expert.digest
            assert mine.residual is not None
            assert theirs.residual is not None
            assert torch.equal(mine.residual, theirs.residual)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", [FULL, RING], ids=["full", "ring"])
def test_a_run_that_is_restored_goes_on_alike(form: str, graph: dict[int, list[int]]) -> None:
    method, state, factory = start("proposed")
    for _ in range(3):
        play(method, state, factory, graph, form)
    _, again, apart = start("proposed")
    again.round = state.round
    for node, other in zip(state.nodes["proposed"], again.nodes["proposed"], strict=True):
        shelf = Shelf()
        other.restore(json.loads(json.dumps(node.snapshot(shelf.put))), shelf.take)
    for _ in range(3):
        play(method, state, factory, graph, form)
        play(method, again, apart, graph, form)
        for mine, theirs in zip(state.members["proposed"], again.members["proposed"], strict=True):
            assert mine.expert.digest == theirs.expert.digest
            assert {s: (u.version, u.digest) for s, u in mine.held.items()} == {
                s: (u.version, u.digest) for s, u in theirs.held.items()
            }
            assert mine.residual is not None
            assert theirs.residual is not None
            assert torch.equal(mine.residual, theirs.residual)


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
@pytest.mark.parametrize(("name", "place"), [("bank", 5), ("proposed", 5), ("proposed", -5)])
def test_values_that_are_not_finite_are_not_published(form: str, value: float, name: str, place: int) -> None:
    method, state, factory = start(name)
    member = state.members[name][2]
    values = torch.zeros(member.expert.count)
    values[place] = value
    member.expert = member.expert.with_values(values)
    with pytest.raises(DivergedError) as caught:
        play(method, state, factory, FULL, form, train=False)
    assert caught.value.number == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["bank", "proposed"])
def test_values_beyond_bfloat16_are_published_where_the_form_holds_them(form: str, name: str) -> None:
    """3.4e38 rounds to infinity in bfloat16; a difference sends as much as it can, and the rest with the next."""
    method, state, factory = start(name)
    member = state.members[name][3]
    member.expert = member.expert.with_values(torch.full((member.expert.count,), 3.4e38))
    if form == "bfloat16":
        with pytest.raises(DivergedError, match="beyond what bfloat16 holds"):
            play(method, state, factory, FULL, form, train=False)
        return
    play(method, state, factory, FULL, form, train=False)
    assert torch.isfinite(state.members[name][0].held[3].values).all()


def test_more_values_than_a_message_holds_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    method, state, factory = start("bank")
    monkeypatch.setattr("meshtune.node.updates.encode", lambda message: encode(message, PayloadLimits(elements=100)))
    with pytest.raises(UserError, match=r"bank sends 120 values at once, more than a message may hold \("):
        play(method, state, factory, FULL, "bfloat16")
