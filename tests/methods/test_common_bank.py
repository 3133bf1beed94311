"""A bank with a part in common, against means worked out matrix by matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from federations import ADAPTER, COMMON, LAYERS, RANK, federation, play
from meshtune.adapter.expert import Expert, SparseExpert
from meshtune.adapter.hybrid_expert import HybridExpert, fresh_common
from meshtune.adapter.mask import vote
from meshtune.adapter.projection import projection
from meshtune.adapter.sites import sizes
from meshtune.methods.common_bank import CommonBankMethod, view
from meshtune.methods.registry import get_method
from meshtune.methods.state import Member, Update

OWN = RANK - COMMON
BORDER = COMMON * 2 * (12 + 10)
"""Values of the common part, which come first."""
MATES = {0: (0, 2), 1: (1,), 2: (0, 2), 3: (3,)}
ROWS = {0: 10, 1: 20, 2: 30, 3: 40}


def method(name: str = "proposed") -> CommonBankMethod:
    found = get_method(name)
    assert isinstance(found, CommonBankMethod)
    return found


def hybrid(expert: Expert | None) -> HybridExpert:
    assert isinstance(expert, HybridExpert)
    return expert


def own_matrices(member: Member, values: torch.Tensor) -> list[np.ndarray]:
    """Return B_g (d, r - c) of every layer, from all values of a device with the shape of ``member``."""
    found, at = [], BORDER
    for mask in hybrid(member.expert).own.masks:
        dense = np.zeros(10 * OWN)
        dense[mask.numpy()] = values[at : at + mask.numel()].double().numpy()
        found.append(dense.reshape(10, OWN))
        at += mask.numel()
    assert at == values.numel()
    return found


def assert_blended(expert: Expert | None, common: np.ndarray, own: list[np.ndarray]) -> None:
    """Make sure that an expert's first values are ``common``, and its own part's matrices are ``own``."""
    mixed = hybrid(expert)
    np.testing.assert_allclose(mixed.values[:BORDER].double(), common, rtol=0, atol=1e-6)
    for layer, mine in zip(LAYERS, own, strict=True):
        np.testing.assert_allclose(mixed.pair(layer)[1][:, :OWN].double(), mine, rtol=0, atol=1e-6)


def mean(values: list[np.ndarray], rows: list[int]) -> np.ndarray:
    return np.asarray(sum(n * one for n, one in zip(rows, values, strict=True)) / sum(rows))


def viewed(values: dict[int, np.ndarray], device: int) -> np.ndarray:
    """Return the common part as the group of ``device`` sees it, of what is held by device."""
    personal, mates = ADAPTER.personal, [d for d in MATES[device] if d in values]
    everybody = mean(list(values.values()), [ROWS[d] for d in values])
    return (1 - personal) * everybody + personal * mean([values[d] for d in mates], [ROWS[d] for d in mates])


@pytest.mark.parametrize("name", ["proposed", "oracle"])
def test_the_common_part_is_the_mean_of_everybody_and_the_own_part_that_of_the_group(name: str) -> None:
    """The groups' own parts have 3, 4 and 5 values a layer."""
    members, factory = federation(method(name))
    begun = {m.device: m.expert.count for m in members}
    assert [begun[d] - BORDER for d in range(4)] == [6, 8, 6, 10]
    published = play(method(name), members, factory)
    assert {d: members[0].known[d].samples for d in range(4)} == ROWS
    each = {d: own_matrices(members[d], published[d].values) for d in range(4)}
    values = {d: published[d].values[:BORDER].double().numpy() for d in range(4)}
    own = {
        d: [mean([each[m][layer] for m in MATES[d]], [ROWS[m] for m in MATES[d]]) for layer in range(len(LAYERS))]
        for d in range(4)
    }
    for member in members:
        assert_blended(member.expert, viewed(values, member.device), own[member.device])
        assert member.expert.count == begun[member.device]
        answers = {g: e for g, _, e in method(name).experts(member, factory)}
        assert list(answers) == ["a", "b", "c"]
        for group, of in (("a", 0), ("b", 1), ("c", 3)):  # whoever answers: the same bits that the group trains
            assert_blended(answers[group], viewed(values, of), own[of])
            assert answers[group].digest == members[of].expert.digest


def test_all_start_from_the_same_common_part_and_from_no_update() -> None:
    members, factory = federation(method())
    common = fresh_common(LAYERS, COMMON, factory.seed)
    for member in members:
        expert = hybrid(member.expert)
        assert torch.equal(expert.values[:BORDER], common)
        assert not expert.values[BORDER:].any()
        assert (expert.rows, expert.own.rank, expert.scale) == (COMMON, OWN, factory.adapter.scale)
        assert expert.largest == 4  # 0.1 of 44
    assert hybrid(members[0].expert).own.form == hybrid(members[2].expert).own.form


def test_the_frozen_rows_of_two_groups_are_orthogonal() -> None:
    """A group owns rank - common rows of the transform, block after block."""
    members, _ = federation(method())
    frozen = [members[d].expert.pair(LAYERS[0])[0][:OWN] for d in (0, 1, 3)]
    for block, a in enumerate(frozen):
        recipe = members[0].own.recipe
        assert recipe.rank == OWN
        np.testing.assert_array_equal(a, projection(replace(recipe, block=block), LAYERS[0].site, 12))
    together = torch.cat(frozen)
    torch.testing.assert_close(together @ together.T, torch.eye(3 * OWN), rtol=0, atol=1e-5)


def test_the_group_votes_for_its_own_columns() -> None:
    members, factory = federation(method())
    known = members[0].known
    agreed = vote([(d, list(known[d].masks)) for d in (0, 2)], sizes(LAYERS, OWN))
    for device in (0, 2):
        begun = hybrid(method().begin(known[device], known, factory))
        for mask, expected in zip(begun.own.masks, agreed, strict=True):
            np.testing.assert_array_equal(mask, expected)
    told = method().reintroduces(known[2], known, factory)
    assert told.voted
    assert told.recipe == known[2].recipe
    for said, expected in zip(told.masks, agreed, strict=True):
        np.testing.assert_array_equal(said, expected)


def test_a_device_alone_in_its_group_takes_the_mean_of_the_common_part_too() -> None:
    members, factory = federation(method())
    published = play(method(), members, factory)
    assert not torch.equal(members[1].expert.values[:BORDER], published[1].values[:BORDER])
    assert torch.equal(members[1].expert.values[BORDER:], published[1].values[BORDER:])


def test_only_who_was_heard_is_in_the_mean() -> None:
    """Devices with 10, 20, 30 and 40 rows; nobody but itself has heard device 2, the mate of device 0."""
    members, factory = federation(method())
    published = play(method(), members, factory, silent=2)
    values = {d: published[d].values[:BORDER].double().numpy() for d in range(4)}
    for d in (0, 1, 3):
        heard = viewed({e: values[e] for e in (0, 1, 3)}, d)
        assert_blended(members[d].expert, heard, own_matrices(members[d], published[d].values))
    each = {d: own_matrices(members[d], published[d].values) for d in (0, 2)}
    own = [mean([each[d][layer] for d in (0, 2)], [10, 30]) for layer in range(len(LAYERS))]
    assert_blended(members[2].expert, viewed(values, 2), own)


def test_where_rounds_end_on_time_old_updates_count_in_the_common_part_only() -> None:
    """An old update of the common part is still all that its device is known to have contributed."""
    members, factory = federation(method())
    old = play(method(), members, factory)
    for member in members:
        member.timely = True
    new = play(method(), members, factory, version=2, silent=2)
    values = {d: (old if d == 2 else new)[d].values[:BORDER].double().numpy() for d in range(4)}
    for d in (0, 1, 3):
        assert_blended(members[d].expert, viewed(values, d), own_matrices(members[d], new[d].values))


def test_the_order_of_arrival_does_not_matter() -> None:
    ends = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        members, factory = federation(method())
        play(method(), members, factory)
        for member in members:
            member.held = {d: member.held[d] for d in order}
            member.expert = hybrid(method().mix(member, factory))
        ends.append([member.expert.digest for member in members])
    assert ends[0] == ends[1] == ends[2]


def test_a_process_that_hosts_one_device_comes_to_the_same_bits() -> None:
    members, factory = federation(method())
    published = play(method(), members, factory)
    for member in members:
        others, apart = federation(method())
        lonely = others[member.device]
        lonely.held = {d: Update(d, 1, published[d].values.clone()) for d in range(4)}
        assert hybrid(method().mix(lonely, apart)).digest == member.expert.digest


def test_devices_that_met_later_keep_their_positions_and_share_the_common_part() -> None:
    """Device 2 trained by itself before it met device 0, its mate: each has a mask of its own, of unlike sizes."""
    members, factory = federation(method())
    known = members[0].known
    full = tuple(np.arange(10 * OWN) for _ in LAYERS)
    late = {0: replace(known[0], voted=True), 2: replace(known[2], masks=full, voted=True)}
    for member in members:
        member.known = {**known, **late}
        member.own = member.known[member.device]
        member.expert = method().begin(member.own, member.known, factory)
    assert [m.expert.count - BORDER for m in members] == [6, 8, 20, 10]
    published = play(method(), members, factory)
    each = {d: own_matrices(members[d], published[d].values) for d in range(4)}
    values = {d: published[d].values[:BORDER].double().numpy() for d in range(4)}
    used = {d: [np.isin(np.arange(10 * OWN), mask).reshape(10, OWN) for mask in late[d].masks] for d in (0, 2)}
    trained = {
        d: [
            used[d][n] * (10 * each[0][n] + 30 * each[2][n]) / np.maximum(10 * used[0][n] + 30 * used[2][n], 1)
            for n in range(len(LAYERS))
        ]
        for d in (0, 2)
    }
    for d in (0, 2):
        assert_blended(members[d].expert, viewed(values, d), trained[d])
        assert members[d].expert.count == published[d].values.numel()
    for d in range(4):
        answer = {g: e for g, _, e in method().experts(members[d], factory)}["a"]
        assert_blended(
            answer, viewed(values, 0), [mean([each[0][n], each[2][n]], [10, 30]) for n in range(len(LAYERS))]
        )
        assert isinstance(hybrid(answer).own, SparseExpert)


def test_equal_work_is_done_once() -> None:
    members, factory = federation(method())
    play(method(), members, factory)
    assert members[0].expert is members[2].expert
    for group, of in (("a", 0), ("b", 1), ("c", 3)):
        assert method().of_group(members[3], group, factory) is members[of].expert


def test_a_factory_makes_an_expert_of_each_form_once() -> None:
    members, factory = federation(method())
    known = members[0].known
    assert members[0].expert is members[2].expert is method().begin(known[0], known, factory)
    assert members[1].expert is not members[3].expert


@pytest.mark.parametrize(
    ("personal", "weights"),
    [(0.0, [0.1, 0.2, 0.3, 0.4]), (1.0, [0.25, 0.0, 0.75, 0.0]), (0.5, [0.175, 0.1, 0.525, 0.2])],
)
def test_a_group_sees_its_own_devices_more(personal: float, weights: list[float]) -> None:
    found = view([10, 20, 30, 40], [True, False, True, False], personal)
    assert found == pytest.approx(weights, rel=1e-12)
    assert sum(found) == pytest.approx(1.0, rel=1e-12)
