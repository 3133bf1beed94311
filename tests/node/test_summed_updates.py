"""Updates that are sums: the largest changes go out, the others later; who holds a version holds the same bits."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from exchanges import DEVICES, FORMS, FULL, GROUPS, RING, Recorder, play, start, steps
from meshtune.adapter.config import AdapterConfig
from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import PayloadError
from meshtune.methods.common_bank import view
from meshtune.methods.state import Member, Update
from meshtune.node.receiving import receive
from meshtune.node.updates import UpdateRules, write_update
from meshtune.wire.chosen_values import apply_chosen
from meshtune.wire.payload import decode
from tensors import Shelf, bits

COMMON = 2 * 2 * (24 + 40)
"""Values of the common part of ``proposed``: of rank 2, in two layers; a round sends 26 of them."""
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
    y_i grows by these, and the others are its next e_i. All start the next round from the mean of y_i by rows,
    in which their own group counts more.
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
        everybody, personal = rows @ y / rows.sum(), AdapterConfig().personal
        groups = [[e for e in range(DEVICES) if GROUPS[e] == GROUPS[d]] for d in range(DEVICES)]
        views = [(1 - personal) * everybody + personal * rows[of] @ y[of] / rows[of].sum() for of in groups]
        for d, member in enumerate(members):
            np.testing.assert_allclose(member.held[d].values[:COMMON].double(), y[d], rtol=0, atol=2e-6)
            x = views[d]
            np.testing.assert_allclose(member.expert.values[:COMMON].double(), x, rtol=0, atol=2e-6)
            assert torch.equal(member.expert.values[:COMMON], members[groups[d][0]].expert.values[:COMMON])
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
    """Ten rounds of 26 values are more than 256: then the common part is what all have trained, as a group sees it."""
    method, state, factory = start("proposed")
    members = state.members["proposed"]
    begun = members[0].expert.values[:COMMON].double()
    play(method, state, factory, FULL, "float32")
    for _ in range(9):
        play(method, state, factory, FULL, "float32", train=False)
    for member in members:
        own = [one == GROUPS[member.device] for one in GROUPS]
        weights = view([10 * (d + 1) for d in range(DEVICES)], own, AdapterConfig().personal)
        mean = sum(w * steps(d, 1, COMMON + 60)[:COMMON].double() for d, w in enumerate(weights))
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
    with pytest.raises(PayloadError, match="as the difference to version 4, device 3 holds version 5"):
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
