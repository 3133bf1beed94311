"""The paper's own aggregation, cluster by cluster."""

from __future__ import annotations

import numpy as np
import torch

from meshtune.adapter.projection import Recipe, projection
from meshtune.methods.base import Prompts
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import NEGOTIATED, Announcement
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader
from two_devices import ADAPTER, LAYER, VALUES, played, update


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


def test_masks_that_groups_negotiated_are_trained_instead_of_the_calibrated() -> None:
    own = Announcement(
        0, "a", 1, Recipe(0, "orthogonal", 0, 2), (np.array([1]),), others={NEGOTIATED: (np.array([2]),)}
    )
    factory = ExpertFactory([LAYER], ADAPTER, seed=0)
    said = get_method("paper").announces(own, factory)
    assert said.masks[0].tolist() == [2]
    start = get_method("paper").begin(said, {0: said}, factory)
    assert start.with_values(torch.tensor([3.0])).pair(LAYER)[1].tolist() == [[0.0, 0.0], [3.0, 0.0]]
