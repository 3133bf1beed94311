"""The paper's own aggregation, cluster by cluster."""

from __future__ import annotations

import numpy as np
import torch

from flying import world
from meshtune.adapter.projection import Recipe, projection
from meshtune.methods.base import Prompts
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import NEGOTIATED, Announcement, Member, Update
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader
from two_devices import ADAPTER, LAYER, MASKS, SAMPLES, VALUES, played, update


def test_the_paper_without_a_radio_is_one_cluster() -> None:
    ends = [[member.expert.digest for member in played(name)[1]] for name in ("paper", "single_cluster")]
    assert ends[0] == ends[1]


def test_every_clusters_mean_stands_behind_its_own_members_projections() -> None:
    """Two clusters of one device: y = s (B_0 A_0 + B_1 A_1) x, no cross terms; means are over the cluster alone."""
    method, members, factory = played("paper")
    for member in members:
        member.clusters = {0: 5, 1: 9}
        member.expert = method.mix(member, factory) or member.expert
        assert member.expert.values.tolist() == VALUES[member.device]
    expansions = {0: [[1.0, 2.0], [0.0, 0.0]], 1: [[0.0, 10.0], [0.0, 4.0]]}
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    expected = sum(
        2.0 * x @ torch.from_numpy(projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6)).T @ torch.tensor(b).T
        for d, b in expansions.items()
    )
    prompts = Prompts(["a"], Reader("unrouted"), Features(np.zeros((1, 1))))
    torch.testing.assert_close(update(method.answer(members[0], prompts, factory), x), expected, rtol=1e-5, atol=1e-6)


def test_two_devices_of_one_group_each_have_an_a_of_their_own() -> None:
    """y = W0 x + (alpha/r) Bbar (A_0 + A_1) x of two devices of one group and one cluster (eq. 16, 24)."""
    method, factory = get_method("paper"), ExpertFactory([LAYER], ADAPTER, seed=0)
    group = Recipe(0, "orthogonal", 0, 2)
    known = {
        d: method.announces(Announcement(d, "a", SAMPLES[d], group, (np.array(MASKS[d]),)), factory) for d in MASKS
    }
    members = [Member(d, known[d], method.begin(known[d], known, factory), known=dict(known)) for d in MASKS]
    for member in members:
        member.held = {d: Update(d, 1, torch.tensor(VALUES[d])) for d in MASKS}
    own = [projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6).astype(np.float64) for d in MASKS]
    assert np.abs(own[0] @ own[1].T).max() < 1e-7
    bar = np.array([[1 * 1.0, 1 * 2.0 + 3 * 10.0], [0.0, 3 * 4.0]]) / 4  # weights 1 and 3; masks {0, 1} and {1, 3}
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    expected = 2.0 * x.double().numpy() @ (own[0] + own[1]).T @ bar.T
    prompts = Prompts(["a"], Reader("unrouted"), Features(np.zeros((1, 1))))
    for member in members:
        found = update(method.answer(member, prompts, factory), x)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    once = ExpertFactory([LAYER], ADAPTER, seed=0, paper=PaperConfig(projection="group"))
    said = [method.announces(Announcement(d, "a", 1, group, (np.array([d]),)), once) for d in MASKS]
    assert [one.recipe for one in said] == [group] * 2


def test_others_regenerate_a_devices_own_a_from_what_it_announces() -> None:
    w = world("paper", [(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)], "aab", clusters={"s_max": 1.0})
    for member in w.state.members["paper"]:
        assert {device: known.recipe.block for device, known in member.known.items()} == {0: 0, 1: 1, 2: 2}


def test_masks_that_groups_negotiated_are_trained_instead_of_the_calibrated() -> None:
    own = Announcement(
        0, "a", 1, Recipe(0, "orthogonal", 0, 2), (np.array([1]),), others={NEGOTIATED: (np.array([2]),)}
    )
    factory = ExpertFactory([LAYER], ADAPTER, seed=0)
    said = get_method("paper").announces(own, factory)
    assert said.masks[0].tolist() == [2]
    start = get_method("paper").begin(said, {0: said}, factory)
    assert start.with_values(torch.tensor([3.0])).pair(LAYER)[1].tolist() == [[0.0, 0.0], [3.0, 0.0]]
