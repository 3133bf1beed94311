"""What crosses a graph: the same bits whichever way they came, differences where they are understood, exact bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exchanges import FORMS, FULL, RING, Recorder, play, random_graph, start
from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import DivergedError, PayloadError, UserError
from meshtune.node.receiving import receive
from meshtune.node.updates import UpdateRules
from meshtune.wire.payload import Message, PayloadLimits, encode


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
