"""The aggregate behind the routed projections alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from meshtune.adapter.projection import Recipe, projection
from meshtune.methods.base import Prompts
from meshtune.routing.arrow import ArrowRouter
from meshtune.routing.features import Features
from meshtune.routing.routers import Router
from two_devices import MASKS, played, update


def test_shared_b_stands_behind_the_routed_projection_alone() -> None:
    method, members, factory = played("shared_b")

    class Second(Router):
        groups = ("a", "b")

        def scores(self, seen: Features) -> np.ndarray:
            return np.array([[0.0, 1.0]])

        gates = scores

    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    found = update(method.answer(members[0], Prompts(["a"], Second(), Features(np.zeros((1, 1)))), factory), x)
    b = torch.tensor([1 / 4, 8.0, 0.0, 3.0]).view(2, 2)
    a = torch.from_numpy(projection(Recipe(0, "orthogonal", 1, 2), "attn_in", 6))
    torch.testing.assert_close(found, 2.0 * x @ a.T @ b.T, rtol=1e-5, atol=1e-6)


def test_shared_b_weighed_by_token_takes_the_aggregate_behind_each_projection_for_an_expert() -> None:
    """With one expert a token, the update is Bbar A_g x of the g whose leading input direction x has most of."""
    method, members, factory = played("shared_b")
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    answer = method.answer(
        members[0], Prompts(["a"], ArrowRouter(["a", "b"], top_k=1), Features(np.zeros((1, 1)))), factory
    )
    b = np.array([1 / 4, 8.0, 0.0, 3.0]).reshape(2, 2)
    updates = [2.0 * b @ projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6) for d in MASKS]
    leading = np.stack([np.linalg.svd(dw)[2][0] for dw in updates])
    chosen = np.abs(x.numpy() @ leading.T).argmax(axis=1)
    assert set(chosen) == {0, 1}
    expected = np.stack([updates[g] @ token for g, token in zip(chosen, x.numpy(), strict=True)])
    np.testing.assert_allclose(update(answer, x), expected, rtol=1e-5, atol=1e-6)


def test_a_group_in_two_clusters_stands_behind_the_mean_of_their_aggregates() -> None:
    """Both devices are of group a, each in a cluster of its own: Bbar_a = (B_0 + B_1) / 2 whatever their rows."""
    method, members, factory = played("shared_b")
    member = members[0]
    first = member.known[0]
    member.known[1] = replace(member.known[1], group="a", recipe=first.recipe)
    member.clusters = {0: 0, 1: 1}

    class One(Router):
        groups = ("a",)

        def scores(self, seen: Features) -> np.ndarray:
            return np.array([[1.0]])

        gates = scores

    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    answer = method.answer(member, Prompts(["a"], One(), Features(np.zeros((1, 1)))), factory)
    assert method.sources(member) == [("a", (0, 1))]
    b = torch.tensor([1.0, 2.0 + 10.0, 0.0, 4.0]).view(2, 2) / 2
    a = torch.from_numpy(projection(first.recipe, "attn_in", 6))
    torch.testing.assert_close(update(answer, x), 2.0 * x @ a.T @ b.T, rtol=1e-5, atol=1e-6)
