"""A bank with a part in common, against means worked out position by position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from federations import COMMON, LAYERS, RANK, federation, play
from meshtune.adapter.expert import SparseExpert
from meshtune.adapter.mask import vote
from meshtune.adapter.sites import sizes
from meshtune.methods.common_bank import CommonBankMethod
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update

ROWS, OWN = RANK, RANK - COMMON


def method() -> CommonBankMethod:
    found = get_method("proposed")
    assert isinstance(found, CommonBankMethod)
    return found


def dense(expert: SparseExpert) -> list[np.ndarray]:
    """Return B (d, r) of every layer."""
    return [expert.pair(layer)[1].double().numpy() for layer in LAYERS]


def started(announced: Announcement, known: dict[int, Announcement], values: Update) -> SparseExpert:
    _, factory = federation(method())
    begun = method().begin(announced, known, factory)
    assert isinstance(begun, SparseExpert)
    return begun.with_values(values.values)


def test_own_columns_are_the_mean_of_the_group_and_common_ones_of_everybody() -> None:
    members, factory = federation(method())
    published = play(method(), members, factory)
    known = members[0].known
    each = {d: dense(started(known[d], known, published[d])) for d in range(4)}
    rows = {d: known[d].samples for d in range(4)}
    for member, group in zip(members, ([0, 2], [1], [0, 2], [3]), strict=True):
        assert isinstance(member.expert, SparseExpert)
        mixed = dense(member.expert)
        for layer in range(len(LAYERS)):
            own = sum(rows[d] * each[d][layer] for d in group) / sum(rows[d] for d in group)
            common = sum(rows[d] * each[d][layer] for d in range(4)) / sum(rows.values())
            np.testing.assert_allclose(mixed[layer][:, :OWN], own[:, :OWN], rtol=0, atol=1e-6)
            np.testing.assert_allclose(mixed[layer][:, OWN:], common[:, OWN:], rtol=0, atol=1e-6)
    answers = {g: e for g, _, e in method().experts(members[3], factory)}
    assert list(answers) == ["a", "b", "c"]
    for group, member in (("a", members[0]), ("b", members[1]), ("c", members[3])):
        torch.testing.assert_close(answers[group].values, member.expert.values, rtol=0, atol=0)


def test_all_groups_share_the_common_rows_of_a_and_nothing_else() -> None:
    members, _ = federation(method())
    first, second = (members[d].expert.pair(LAYERS[0])[0] for d in (0, 1))
    assert first.shape == (ROWS, 12)
    torch.testing.assert_close(first[OWN:], second[OWN:], rtol=0, atol=0)
    both = torch.cat([first[:OWN], second])  # two groups and what they have in common: orthonormal rows
    torch.testing.assert_close(both @ both.T, torch.eye(len(both)), rtol=0, atol=1e-5)


def test_the_group_votes_for_its_own_columns_and_everybody_for_the_common_ones() -> None:
    members, factory = federation(method())
    known = members[0].known
    ballots = {
        d: [np.divmod(np.asarray(mask), ROWS) for mask in known[d].masks] for d in range(4)
    }  # (row, column) of every position
    own = {d: [(r * OWN + c)[c < OWN] for r, c in ballot] for d, ballot in ballots.items()}
    common = {d: [(r * COMMON + c - OWN)[c >= OWN] for r, c in ballot] for d, ballot in ballots.items()}
    mine = vote([(d, own[d]) for d in (0, 2)], sizes(LAYERS, OWN))
    everyone = vote([(d, common[d]) for d in range(4)], sizes(LAYERS, COMMON))
    begun = method().begin(known[2], known, factory)
    assert isinstance(begun, SparseExpert)
    for layer, mask in enumerate(begun.masks):
        expected = {int(p // OWN * ROWS + p % OWN) for p in mine[layer]}
        expected |= {int(p // COMMON * ROWS + OWN + p % COMMON) for p in everyone[layer]}
        assert mask.tolist() == sorted(expected)


def test_devices_that_met_later_keep_their_positions_and_a_position_counts_who_trains_it() -> None:
    members, factory = federation(method())
    known = members[0].known
    alone = replace(known[3], voted=True)  # c trained by itself before it met the others
    for member in members:
        member.known = {**known, 3: alone}
        member.own = member.known[member.device]
        member.expert = method().begin(member.own, member.known, factory)
        member.starts.clear()
    published = play(method(), members, factory)
    voters = {d: known[d] for d in range(3)}
    each = {d: dense(started(members[d].own, members[0].known, published[d])) for d in range(4)}
    masks = {d: positions(members[d]) for d in range(4)}
    assert masks[3][0].tolist() == [bool(p) for p in np.isin(np.arange(10 * ROWS), alone.masks[0])]
    assert len(voters) == 3
    rows = {d: known[d].samples for d in range(4)}
    mixed = dense(_sparse(members[1]))
    for layer in range(len(LAYERS)):
        total, weight = np.zeros(10 * ROWS), np.zeros(10 * ROWS)
        for d in range(4):
            here = masks[d][layer] & (np.arange(10 * ROWS) % ROWS >= OWN)
            total += rows[d] * each[d][layer].reshape(-1) * here
            weight += rows[d] * here
        expected = np.where(masks[1][layer], total / np.maximum(weight, 1), 0).reshape(10, ROWS)
        np.testing.assert_allclose(mixed[layer][:, OWN:], expected[:, OWN:], rtol=0, atol=1e-6)
        np.testing.assert_allclose(mixed[layer][:, :OWN], each[1][layer][:, :OWN], rtol=0, atol=1e-6)
    answer = {g: e for g, _, e in method().experts(members[0], factory)}["c"]
    assert isinstance(answer, SparseExpert)
    for layer, b in enumerate(dense(answer)):
        common = sum(rows[d] * each[d][layer] for d in range(4)) / sum(rows.values())
        np.testing.assert_allclose(b[:, OWN:], common[:, OWN:], rtol=0, atol=1e-6)
        np.testing.assert_allclose(b[:, :OWN], each[3][layer][:, :OWN], rtol=0, atol=1e-6)


def _sparse(member: Member) -> SparseExpert:
    assert isinstance(member.expert, SparseExpert)
    return member.expert


def positions(member: Member) -> list[np.ndarray]:
    """Return per layer which positions of B (d r,) a device trains."""
    return [np.isin(np.arange(10 * ROWS), mask.numpy()) for mask in _sparse(member).masks]
