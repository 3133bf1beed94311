"""Negotiated masks over the air: bytes are those of the messages, devices know the masks, runs are repeatable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flying import LAYERS, RANK, shake_hands
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.mask import collision_rate, join, top_positions
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.inference.opening import DeviceLoader
from meshtune.methods.aggregating import AggregatingMethod
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import CATALOGUE, get_method
from meshtune.methods.state import NEGOTIATED, Announcement
from meshtune.network.handshake_cost import handshake_cost
from meshtune.network.site import open_site
from meshtune.node.announcements import to_messages
from meshtune.node.negotiation.mask_agreement import Agreement
from meshtune.node.receiving import from_messages
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.connecting import connect
from meshtune.simulator.negotiating import negotiate
from meshtune.simulator.resume import begin
from meshtune.simulator.simulation import evaluate, run
from meshtune.wire.ledger import INVENTORY, Ledger
from meshtune.wire.payload import Message, decode, encode
from meshtune.wire.positions import encode_positions
from whole_runs import Watch, assert_same_state, header

SIZES = sizes(LAYERS, RANK)
PAIR = {0: (1,), 1: (0,)}
FULL = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
PATH = {0: (1,), 1: (0, 2), 2: (1,)}


def announced(groups: str, used: int = 30) -> list[Announcement]:
    """Devices that all want the same rows most, so that their own masks collide."""
    found = []
    for device, group in enumerate(groups):
        draw = np.random.default_rng(device)
        scores = [draw.random(size).astype("f4") + np.linspace(1, 0, size, dtype="f4") for size in SIZES]
        masks = tuple(top_positions(score, used) for score in scores)
        recipe = Recipe(seed=3, kind="orthogonal", block=ord(group) - 97, rank=RANK)
        found.append(Announcement(device, group, 10, recipe, masks, scores=np.concatenate(scores)))
    return found


def scores_of(own: Announcement) -> Any:
    assert own.scores is not None
    return own.scores


def length(kind: str, sender: int, source: int, masks: Any, group: str = "") -> int:
    """Bytes of a message put together by hand."""
    mask = torch.frombuffer(bytearray(encode_positions(join(masks, SIZES), sum(SIZES))), dtype=torch.uint8)
    return len(encode(Message(kind, sender, 0, source, {"group": group} if group else {}, {"mask": mask})))


def links(agreement: Agreement) -> list[list[tuple[int, int, int, bool]]]:
    return [[(s.sender, s.receiver, sum(s.split.values()), s.relayed) for s in hop] for hop in agreement.hops]


def test_every_device_has_its_groups_claim_and_the_ledger_the_encoded_messages() -> None:
    own = announced("bab")
    agreement = negotiate(own, FULL, SIZES)
    masks = agreement.masks
    assert masks[0] is masks[2]
    assert collision_rate([own[0].masks, own[1].masks], SIZES) > 0
    assert collision_rate([masks[0], masks[1]], SIZES) == 0
    # Group a goes first and gets what it wants; b is told, agrees with itself, and tells a.
    assert all(np.array_equal(one, other) for one, other in zip(masks[1], own[1].masks, strict=True))
    free = [np.delete(np.arange(size), taken) for size, taken in zip(SIZES, masks[1], strict=True)]
    proposals = {
        device: [
            np.sort(left[np.argsort(-score[left], kind="stable")[:30]])
            for left, score in zip(free, np.split(scores_of(own[device]), [SIZES[0]]), strict=True)
        ]
        for device in (0, 2)
    }
    first = length("claim", 1, 1, masks[1], "a")
    last = length("claim", 0, 0, masks[0], "b")
    assert links(agreement) == [
        [(1, 0, first, False), (1, 2, first, False)],
        [(d, 2 - d, length("proposal", d, d, proposals[d]), False) for d in (0, 2)],
        [(0, 1, last, False)],
    ]
    ledger = Ledger()
    hops = agreement.charge("paper", ledger)
    assert hops[0] == {(1, 0): first, (1, 2): first}
    total = ledger.total("paper")
    assert sum(total.values()) == sum(count for hop in links(agreement) for _, _, count, _ in hop)
    assert total["masks"] > 0
    assert total["values"] == total["router"] == total["relayed"] == 0
    assert ledger.per_round("paper").keys() == {0}
    assert ledger.payload_bytes("paper") == 0
    assert agreement.facts() == {
        "among": [[0, 1, 2]],
        "collision_between_groups": [0.0],
        "collision_measured": [collision_rate([masks[d] for d in range(3)], SIZES)],
        "density_change": [0.0],
    }


def test_who_cannot_hear_a_device_hears_of_its_claim_through_others() -> None:
    agreement = negotiate(announced("aba"), PATH, SIZES)
    told = links(agreement)
    ways = [[(sender, receiver, relayed) for sender, receiver, _, relayed in hop] for hop in told]
    # Proposals of 0 and 2 by way of 1; then 0's claim to 1, and 1's to both.
    assert ways == [
        [(0, 1, False), (2, 1, False)],
        [(1, 2, True), (1, 0, True)],
        [(0, 1, False)],
        [(1, 0, False), (1, 2, False)],
    ]
    ledger = Ledger()
    agreement.charge("paper", ledger)
    assert ledger.total("paper")["relayed"] == sum(count for _, _, count, _ in told[1])


def test_parts_negotiate_by_themselves_and_at_the_same_time() -> None:
    own = announced("abcba")
    agreement = negotiate(own, {**PAIR, 2: (), 3: (4,), 4: (3,)}, SIZES)
    assert agreement.parts == ((0, 1), (2,), (3, 4))
    ways = [[(s, r) for s, r, _, _ in hop] for hop in links(agreement)]
    assert ways == [[(0, 1), (4, 3)], [(1, 0), (3, 4)]]
    assert all(np.array_equal(a, b) for a, b in zip(agreement.masks[2], own[2].masks, strict=True))
    assert agreement.change[1] == 0


def test_a_layer_too_dense_for_two_gives_way_to_others() -> None:
    own = announced("ab", used=100)
    own = [Announcement(a.device, a.group, 10, a.recipe, (a.masks[0], a.masks[1][:20]), scores=a.scores) for a in own]
    agreement = negotiate(own, PAIR, SIZES)  # of 160 positions each may have 80: 20 go to the second layer
    assert [len(positions) for positions in agreement.masks[1]] == [80, 40]
    assert agreement.change == (20 / 160,)
    assert agreement.between == (0.0,)


def test_only_methods_that_add_expansions_have_negotiated_masks() -> None:
    factory = ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    (own,) = negotiate(announced("a"), {0: ()}, SIZES).of(announced("a"))
    assert own.scores is None
    other = tuple(np.arange(3) for _ in SIZES)
    own = Announcement(0, "a", 10, own.recipe, own.masks, others={NEGOTIATED: other, "lori": other, "lori_uniform": ()})
    takers = {name for name in CATALOGUE if get_method(name).masks.negotiable}
    assert takers >= {"paper", "paper_masked", "shared_b"}
    assert all(isinstance(get_method(name), AggregatingMethod) for name in takers)
    for name in CATALOGUE:
        said = get_method(name).announces(own, factory).masks
        assert (said is other) == (name in takers or name == "lori"), name
    assert get_method("paper").announces(announced("a")[0], factory).masks  # before anything is agreed on: its own


def test_who_was_told_a_mask_is_announced_the_rest() -> None:
    """Two clusters in a row: 0 and 1 know each other's masks from claims, 2 does not."""
    method, ledgers = get_method("paper"), (Ledger(), Ledger())
    own = [method.announces(a, ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)) for a in announced("abc")]
    told = {d: {mate: own[mate].masks for mate in (0, 1)} for d in (0, 1)}
    assert {d: set(masks) for d, masks in negotiate(own, {**PAIR, 2: ()}, SIZES).known.items()} == {
        0: {0, 1},
        1: {0, 1},
        2: {2},
    }
    hops: list[dict[tuple[int, int], int]] = []
    whole = shake_hands(own, method, PATH, ledgers[0], layers=LAYERS)
    known = shake_hands(own, method, PATH, ledgers[1], hops, told, LAYERS)
    for one, other in zip(whole, known, strict=True):
        assert {d: a.mask_digest for d, a in one.items()} == {d: a.mask_digest for d, a in other.items()}
    full, bare = (
        {d: sum(len(encode(m)) for m in to_messages(own[d], method, LAYERS, told)) for d in range(3)}
        for told in (False, True)
    )
    assert hops == [
        {(0, 1): bare[0], (1, 0): bare[1], (1, 2): full[1], (2, 1): full[2]},
        {(1, 2): full[0], (1, 0): full[2]},
    ]
    counted = {kind: count for kind, count in ledgers[1].total("paper").items() if kind != INVENTORY}
    assert sum(counted.values()) == sum(sum(hop.values()) for hop in hops)
    arrived = [decode(encode(m)) for m in to_messages(own[0], method, LAYERS, told=True)]
    assert "mask" not in arrived[0].tensors
    assert from_messages(arrived, LAYERS, own[0].recipe, own[0].masks).mask_digest == own[0].mask_digest


def test_a_handshake_takes_the_turns_as_well() -> None:
    where = [(0, 0), (30, 0), (0, 40)]
    config = validate(
        {
            "tasks": ["boolq", "piqa"], "devices": {"count": 3}, "methods": ["bank", "paper"],
            "radio": {"fading": "none"}, "places": {"positions": where},
            "clusters": {"s_max": 1.0, "masks": "negotiated"},
        },
        "test",
    )  # fmt: skip
    own, factory = announced("bab"), ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    site = open_site(config)
    assert site is not None
    methods = [get_method(name) for name in config.methods]
    _, network = connect(config, site, own, LAYERS, factory)
    assert network is not None
    assert network.formed.clusters.clusters == ((0, 1, 2),)
    assert network.agreement is not None
    state = begin(methods, network.formed.graph, own, LAYERS, factory, network)
    hops, ledger = network.agreement.charge("paper", Ledger()), Ledger()
    said = [methods[1].announces(a, factory) for a in network.agreement.of(own)]
    shake_hands(said, methods[1], network.formed.graph, ledger, hops, network.agreement.known, LAYERS)
    assert len(hops) == 3 + 1
    (tick,) = state.clocks["paper"]
    assert replace(tick, inventory=0.0, inventory_seconds=0.0) == handshake_cost(network, hops)
    assert 0 < tick.inventory < 1e-12
    assert state.clocks["paper"][0].seconds == 4 * config.radio.gamma  # type: ignore[union-attr]
    assert state.clocks["bank"][0].seconds == config.radio.gamma  # type: ignore[union-attr]
    for device in range(3):
        member, banked = state.members["paper"][device], state.members["bank"][device]
        assert {d: a.masks for d, a in member.known.items()}.keys() == {0, 1, 2}
        for other, a in member.known.items():
            assert all(np.array_equal(x, y) for x, y in zip(a.masks, network.agreement.masks[other], strict=True))
        assert all(np.array_equal(x, y) for x, y in zip(banked.own.masks, own[device].masks, strict=True))


def small(**more: Any) -> RunConfig:
    """The embedded model and its own tasks, as little of each as there can be."""
    tree = {
        "model": {"name": "embedded"},
        "tasks": ["claims", "sums", "animals"],
        "devices": {"count": 4},
        "methods": ["paper", "single_cluster"],
        "paper": {"reading": "unrouted", "projection": "group", "masks": "calibrated"},
        "adapter": {"rank": 4, "entropy_tokens": 32, "calibration_batches": 1},
        "train": {"rounds": 2, "steps": 1, "batch": 2, "rows": 8, "max_tokens": 64, "warmup": 0, "lr": 3e-3},
        "eval": {"questions": 2, "write": False},
        "radio": {},
        "clusters": {"s_max": 1.0, "masks": "negotiated", "inner_rounds": 1},
        **more,
    }
    return validate(tree, "test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watch]:
    watch = Watch()
    return run(small(), tmp_path_factory.mktemp("negotiated") / "whole", watch), watch


def test_a_run_says_what_was_agreed_on(finished: tuple[Path, Watch]) -> None:
    folder, watch = finished
    network = header(folder)["network"]
    assert network["clusters"] == network["negotiated"]["among"] == [[0, 1, 2, 3]]  # three groups, one of two devices
    assert network["collision_measured"][0] > 0
    assert network["negotiated"]["collision_between_groups"] == [0.0]
    assert network["negotiated"]["collision_measured"][0] > 0  # 0 and 3 share a mask
    assert 0 <= network["negotiated"]["density_change"][0] < 1
    assert any(text.startswith("masks were negotiated: those of different groups") for text in watch.texts)
    methods = header(folder)["methods"]
    paper, single = (methods[name]["bytes_per_round"]["0"] for name in ("paper", "single_cluster"))
    turns = [methods[name]["clock"]["per_round"]["seconds"][0] for name in ("paper", "single_cluster")]
    # Three claims to the devices of other groups (2 + 3 + 3), and two proposals, where 4 announce to 3 each.
    assert paper["masks"] / single["masks"] == pytest.approx(10 / 12, rel=0.05)
    assert paper["router"] == single["router"]
    assert turns[0] > turns[1]
    tensors, _ = RunStore.open(folder).load("prepare")
    assert {name for name in tensors if name.endswith("scores")} == {f"{device}.scores" for device in range(4)}


def test_a_stopped_run_goes_on_bit_for_bit_and_can_be_asked(tmp_path: Path, finished: tuple[Path, Watch]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(small(), tmp_path / "cut", Watch(stop=1))
    run(small(), tmp_path / "cut", Silent())
    assert_same_state(finished[0], tmp_path / "cut", 2)
    first, second = (json.loads((f / "results.json").read_text()) for f in (finished[0], tmp_path / "cut"))
    assert first["rows"] == second["rows"]
    assert first["header"]["network"] == second["header"]["network"]
    evaluate(tmp_path / "cut", Silent())
    assert json.loads((tmp_path / "cut" / "results.json").read_text())["rows"] == first["rows"]
    reply = DeviceLoader(tmp_path / "cut", Silent()).load(device=3, method="paper").choose("Is it so?", ["yes", "no"])
    assert sum(odds for _, odds in reply.options) == pytest.approx(1.0)


def test_scores_are_kept_only_for_those_who_negotiate(tmp_path: Path) -> None:
    watch = Watch()
    folder = run(
        small(methods=["single_cluster"], train={"rounds": 1, "steps": 1, "batch": 1, "rows": 8}), tmp_path, watch
    )
    tensors, _ = RunStore.open(folder).load("prepare")
    assert not [name for name in tensors if name.endswith("scores")]
    assert "negotiated" not in header(folder)["network"]
    assert any(text.startswith("clusters.masks=negotiated changes nothing") for text in watch.texts)
