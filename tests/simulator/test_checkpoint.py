"""The state of a run as tensors and facts: it goes on bit for bit, and what does not fit is not used."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch

from exchanges import FORMS, FULL, RING, Recorder, play, start
from flying import world
from meshtune.network.virtual_clock import elapsed, joules
from meshtune.simulator.checkpoint import pack_state, unpack_state
from meshtune.simulator.reclustering import replay

# Two pairs, 10 m apart within and 200 m between: with a bound of two devices they are the clusters.
PAIRS = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]


TWO = {"clusters": {"s_max": 1.0, "most": 2, "inner_rounds": 2}}


HARSH: dict[str, Any] = {
    "radio": {"power_dbm": -95.0, "loss": {"probability": 0.2, "packet": 64}},
    "faults": {"dropout": 0.2, "late": 0.2},
    "places": {"positions": PAIRS, "mobility": "waypoint", "speed": [20.0, 40.0]},
    "exchange": {"values": "int4", "block": 32},
    **TWO,
}


@pytest.mark.parametrize("name", ["bank", "paper", "lora", "proposed"])
@pytest.mark.parametrize("every", [None, 1])
def test_a_round_goes_on_from_a_checkpoint_bit_for_bit(name: str, every: int | None) -> None:
    settings = copy.deepcopy(HARSH)
    settings["clusters"]["reform"] = every
    whole, cut = (world(name, PAIRS, "abac", **settings) for _ in range(2))
    for _ in range(3):
        whole.play()
    tensors, facts = pack_state(whole.state)
    cut.state = unpack_state(cut.state, {k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(facts)))
    state = cut.state
    past = replay(cut.network, [cut.method], state.nodes, state.clocks, state.round)
    assert [one.facts() for one in past] == [one.facts() for one in whole.radio.formed]
    assert len(past) == (1 if every is None else 2)
    for w in (whole, cut):
        for _ in range(3):
            w.play()
    first, second = pack_state(whole.state), pack_state(cut.state)
    assert first[1] == second[1]
    assert all(torch.equal(first[0][key], second[0][key]) for key in first[0])
    clock = whole.state.clocks[name]
    assert elapsed(clock) == elapsed(cut.state.clocks[name])
    assert joules(clock) > 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", [FULL, RING], ids=["full", "ring"])
@pytest.mark.parametrize("name", ["bank", "alternating", "fedex"])
def test_an_exchange_goes_on_from_a_checkpoint_bit_for_bit(form: str, graph: dict[int, list[int]], name: str) -> None:
    method, whole, factory = start(name)
    for _ in range(3):
        play(method, whole, factory, graph, form)
    tensors, facts = pack_state(whole)
    _, fresh, other = start(name)
    cut = unpack_state(fresh, {k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(facts)))
    messages = []
    for state, shop in ((whole, factory), (cut, other)):
        air = Recorder()
        for _ in range(2):
            play(method, state, shop, graph, form, transport=air)
        messages.append(air.sent)
    assert messages[0] == messages[1]
    first, second = pack_state(whole), pack_state(cut)
    assert first[1] == second[1]
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])


def edited(facts: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return ``facts`` with another value at ``path``."""
    found = json.loads(json.dumps(facts))
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return found


def test_each_distinct_tensor_stands_there_once() -> None:
    method, state, factory = start("bank")
    play(method, state, factory, FULL, "bfloat16")
    tensors, facts = pack_state(state)
    members = state.members["bank"]
    held = {id(update.values): update.values for member in members for update in member.held.values()}
    different = [member.expert.values for member in members] + list(held.values())
    different += [tensor for member in members for tensor in member.moments.values()]
    distinct = {(tensor.dtype, tuple(tensor.shape), tuple(tensor.double().tolist())) for tensor in different}
    assert len(tensors) == len(distinct)
    named = {key for node in facts["nodes"]["bank"] for _, _, *keys in node["held"] for key in keys}
    assert named < set(tensors)


FIRST = ("nodes", "bank", 0)


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("round",), -1, "round"),
        (("round",), "1", "round"),
        (("seconds",), {"train": -1.0}, "seconds"),
        (("nodes", "bank"), [], "bank has not 6 devices"),
        (("nodes",), {}, "bank has not 6 devices"),
        ((*FIRST, "values"), "none", "device 0 has no such tensor"),
        ((*FIRST, "values"), "other", "device 0 has not 120 values"),
        ((*FIRST, "values"), "bytes", "device 0 has no such tensor"),
        ((*FIRST, "moments"), {"m": "other"}, "device 0 has no such optimiser state"),
        ((*FIRST, "moments"), {"m": "none"}, "device 0 has no such optimiser state"),
        ((*FIRST, "residual"), "other", "device 0 has no such residual"),
        ((*FIRST, "kept"), "other", "device 0 keeps no such values"),
        ((*FIRST, "held"), [[0, 1]], "device 0 holds no such update"),
        ((*FIRST, "held"), [[0, 1, "other", None, None, "other"]], "device 0 holds no such update"),
        ((*FIRST, "held"), [[0, 1, None]], "device 0 has no such tensor"),
        ((*FIRST, "held"), [[0, 1, "other", "none"]], "device 0 has no such tensor"),
        ((*FIRST, "held"), [[0, 1, "other", None, "other"]], "device 0 has no such tensor"),
        ((*FIRST, "held"), [[6, 1, "other"]], "device 0 holds an update that no device sent"),
        ((*FIRST, "held"), [[0, 2, "other"]], "device 0 holds an update that no device sent"),
        ((*FIRST, "held"), [[0, 1, "none"]], "device 0 has no such tensor"),
        ((*FIRST, "early"), [[6, "bytes"]], "device 0 holds a message that no device sent"),
        ((*FIRST, "early"), [[1, "other"]], "device 0 has no such tensor"),
        ((*FIRST, "sent"), [[6, 0, 1]], "device 0 has traded what no device sent"),
        ((*FIRST, "came"), [[1, 0, 2]], "device 0 has traded what no device sent"),
        ((*FIRST, "told"), [[1, 0, 1, 2]], "device 0 has traded what no device sent"),
        ((*FIRST, "theirs"), [[1, 0]], "theirs"),
        (("ledger", "bytes"), [[1, 1, 0, "values", 5]], "the ledger: a method or a kind is no name"),
        (("ledger", "bytes"), [["x", 1, 0, "values", -5]], "the ledger: a round, a device or a count of bytes"),
        (("clocks",), {"bank": [{"seconds": 1.0}]}, "sending"),
    ],
)
def test_what_is_no_state_of_such_a_run_is_refused_and_nothing_of_it_used(
    path: tuple[Any, ...], value: Any, why: str
) -> None:
    method, state, factory = start("bank")
    play(method, state, factory, FULL, "bfloat16")
    tensors, facts = pack_state(state)
    tensors |= {"other": torch.zeros(7), "bytes": torch.zeros(120, dtype=torch.uint8)}
    _, fresh, _ = start("bank")
    before = [member.expert.values.clone() for member in fresh.members["bank"]]
    with pytest.raises(ValueError, match=why):
        unpack_state(fresh, tensors, edited(facts, path, value))
    assert fresh.round == 0
    for member, values in zip(fresh.members["bank"], before, strict=True):
        assert torch.equal(member.expert.values, values)
        assert not member.held
    assert unpack_state(fresh, tensors, facts).round == 1


def test_a_clock_has_a_tick_for_every_round_and_the_handshake() -> None:
    w = world("bank", PAIRS, **TWO)
    w.play()
    tensors, facts = pack_state(w.state)
    for ticks in ([], facts["clocks"]["bank"][:1]):
        again = world("bank", PAIRS, **TWO).state
        with pytest.raises(ValueError, match="the clock of bank has not 2 rounds"):
            unpack_state(again, tensors, edited(facts, ("clocks", "bank"), ticks))


def test_methods_that_are_run_no_more_are_left_out() -> None:
    method, state, factory = start("bank")
    play(method, state, factory, FULL, "bfloat16")
    tensors, facts = pack_state(state)
    more = edited(facts, ("nodes", "gone"), facts["nodes"]["bank"][:2])
    assert list(unpack_state(start("bank")[1], tensors, more).nodes) == ["bank"]
