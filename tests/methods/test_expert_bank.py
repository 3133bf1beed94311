"""Banks: experts kept apart by group, against means worked out position by position."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from federations import LAYERS, RANK, announcement, dense, federation, play
from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.mask import vote
from meshtune.adapter.sites import sizes
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.registry import get_method
from meshtune.methods.state import Update


def bank() -> BankMethod:
    method = get_method("bank")
    assert isinstance(method, BankMethod)
    return method


def test_devices_of_one_group_share_mask_block_and_mean() -> None:
    """sum_j w_j B_j A = (sum_j w_j B_j) A, exactly, because the group shares mask and A."""
    method = bank()
    members, factory = federation(method)
    before = {m.device: m for m in members}
    published: dict[int, Any] = {}
    for member in members:
        values = torch.from_numpy(np.random.default_rng(member.device).standard_normal(member.expert.count)).float()
        published[member.device] = (member.expert.with_values(values), Update(member.device, 1, values))
    for member in members:
        member.held.update({device: update for device, (_, update) in published.items()})
        member.expert = method.mix(member, factory) or member.expert
    weights = {0: 10 / 40, 2: 30 / 40}
    for layer in LAYERS:
        expected = sum(w * published[d][0].delta(layer) for d, w in weights.items())
        for device in (0, 2):
            torch.testing.assert_close(before[device].expert.delta(layer), expected, rtol=0, atol=1e-6)
    assert before[0].expert.digest == before[2].expert.digest


def test_a_device_alone_in_its_group_goes_on_with_its_own_unrounded_values() -> None:
    method = bank()
    members, factory = federation(method)
    play(method, members, factory)
    assert method.mix(members[1], factory) is None
    assert method.mix(members[0], factory) is not None


def test_where_rounds_end_on_time_an_old_update_of_a_mate_does_not_count() -> None:
    """Device 0 (10 rows) and its mate 2 (30 rows), whose newest update is of the round before."""
    method = bank()
    members, factory = federation(method)
    play(method, members, factory)
    member = members[0]
    old = member.held[2].values.double()
    play(method, members, factory, version=2, silent=2)
    own = member.held[0].values.double()
    member.timely = True
    assert method.mix(member, factory) is None  # the others' values are not in it: it goes on with its own
    member.timely = False
    mixed = method.mix(member, factory)
    assert mixed is not None
    torch.testing.assert_close(mixed.values.double(), (10 * own + 30 * old) / 40, rtol=0, atol=1e-6)


def test_mates_of_one_vote_start_from_one_mask_and_who_met_later_from_its_own() -> None:
    method = bank()
    members, factory = federation(method)
    known = members[0].known
    agreed = vote([(d, list(known[d].masks)) for d in (0, 2)], sizes(LAYERS, RANK))
    for device in (0, 2):
        start = method.begin(known[device], known, factory)
        assert isinstance(start, SparseExpert)
        for mask, expected in zip(start.masks, agreed, strict=True):
            np.testing.assert_array_equal(mask, expected)
    late = replace(announcement(2), voted=True)
    start = method.begin(late, {**known, 2: late}, factory)
    assert isinstance(start, SparseExpert)
    assert [mask.tolist() for mask in start.masks] == [mask.tolist() for mask in late.masks]
    earlier = replace(announcement(0), voted=True)
    other = method.begin(known[2], {**known, 0: earlier}, factory)  # whose mate takes no part in its vote
    assert isinstance(other, SparseExpert)
    assert [mask.tolist() for mask in other.masks] == [mask.tolist() for mask in known[2].masks]


def test_who_meets_others_on_its_way_tells_the_mask_that_it_trains() -> None:
    method = bank()
    members, factory = federation(method)
    known = members[0].known
    told = method.reintroduces(known[2], known, factory)
    assert told.voted
    start = members[2].expert
    assert isinstance(start, SparseExpert)
    assert [mask.tolist() for mask in told.masks] == [mask.tolist() for mask in start.masks]
    lora = get_method("hard_moe_lora")
    assert lora.reintroduces(known[2], known, factory) is known[2]


def test_of_unlike_masks_the_answer_is_the_mean_over_all_positions_and_a_device_keeps_its_own() -> None:
    """Device 2 met device 0 after training had begun: each has a mask of its own, behind one projection."""
    method = bank()
    members, factory = federation(method)
    late = {d: replace(announcement(d), voted=True) for d in (0, 2)}
    member = members[0]
    member.own, member.known = late[0], {**member.known, **late}
    starts = {d: method.begin(late[d], member.known, factory) for d in (0, 2)}
    draw = np.random.default_rng(0)
    dense_of, used = {}, {}
    for d, start in starts.items():
        values = draw.standard_normal(start.count)
        member.held[d] = Update(d, 1, torch.from_numpy(values).float())
        places = dense(late[d].masks)
        dense_of[d], used[d] = np.zeros(40), np.zeros(40, dtype=bool)
        dense_of[d][places], used[d][places] = values, True
    assert (used[0] != used[2]).any()
    answer = method.of_group(member, "a", factory)
    assert isinstance(answer, SparseExpert)
    whole = (10 * dense_of[0] + 30 * dense_of[2]) / 40
    union = np.flatnonzero(used[0] | used[2])
    assert dense([mask.numpy() for mask in answer.masks]) == union.tolist()
    np.testing.assert_allclose(answer.values, whole[union], atol=1e-6)
    weights = 10 * used[0] + 30 * used[2]
    each = (10 * dense_of[0] + 30 * dense_of[2]) / np.maximum(weights, 1)
    for d in (0, 2):
        member.device, member.own, member.expert = d, late[d], starts[d]
        mixed = method.mix(member, factory)
        assert mixed is not None
        np.testing.assert_allclose(mixed.values, each[dense(late[d].masks)], atol=1e-6)


def test_groups_that_nothing_is_held_of_are_no_sources() -> None:
    method = bank()
    members, factory = federation(method)
    assert method.sources(members[0]) == []
    play(method, members, factory, silent=1)
    assert method.sources(members[0]) == [("a", (0, 2)), ("c", (3,))]
    held = method.experts(members[0], factory)
    assert [(group, devices) for group, devices, _ in held] == method.sources(members[0])
    assert {group: expert.digest for group, _, expert in held} == {
        group: expert.digest for group, expert in method.bank(members[0], factory).items()
    }
