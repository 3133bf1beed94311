"""The paper's aggregation and its baselines, each against a case worked out by hand (eq. 9, 10, 24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.sites import describe
from meshtune.methods.base import Answer, Method, Prompts
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from meshtune.routing.arrow import ArrowRouter
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader, Router

LAYER = describe(0, "model.layers.0.self_attn.q_proj", 6, 2, False)  # B (2, 2): positions 0 to 3
ADAPTER = AdapterConfig(rank=2, alpha=4.0)
MASKS = {0: [0, 1], 1: [1, 3]}
VALUES = {0: [1.0, 2.0], 1: [10.0, 4.0]}
SAMPLES = {0: 1, 1: 3}


def played(name: str) -> tuple[Method, list[Member], ExpertFactory]:
    """Two devices with masks that share position 1, one of them with three times the rows; one round is over."""
    method = get_method(name)
    factory = ExpertFactory([LAYER], ADAPTER, seed=0)
    known: Mapping[int, Announcement] = {
        d: method.announces(
            Announcement(
                d, "ab"[d], SAMPLES[d], Recipe(0, "orthogonal", d, 2), (np.array(MASKS[d]),),
                codes=np.arange(1.0, 7.0, dtype=np.float32) * (1 + d), others={name: (np.array(MASKS[d]),)},
            ),
            factory,
        )
        for d in MASKS
    }  # fmt: skip
    members = [Member(d, known[d], method.begin(known[d], known, factory), known=dict(known)) for d in MASKS]
    for member in members:
        member.held = {d: Update(d, 1, torch.tensor(VALUES[d])) for d in MASKS}
        member.expert = method.mix(member, factory) or member.expert
    return method, members, factory


def update(answer: Answer, x: torch.Tensor) -> torch.Tensor:
    """Return what the answer adds to the layer's output for x (tokens, 6)."""
    bank = answer.bank
    assert bank is not None
    route = bank.route(torch.from_numpy(answer.gates[:1]).float())
    return route.apply(LAYER, x[None], torch.zeros(1, len(x), 2))[0]


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        # Position 0: 1 of weight 1; position 1: 2 of weight 1 and 10 of weight 3; position 3: 4 of weight 3.
        ("paper", [1 / 4, (2 + 30) / 4, 0.0, 12 / 4]),
        ("paper_masked", [1.0, (2 + 30) / 4, 0.0, 4.0]),
    ],
)
def test_the_mean_goes_back_onto_every_mask_and_stands_whole_behind_all_projections(
    name: str, mean: list[float]
) -> None:
    method, members, factory = played(name)
    for member in members:
        assert member.expert.values.tolist() == pytest.approx([mean[p] for p in MASKS[member.device]])
    b = torch.tensor(mean).view(2, 2)
    a = sum(torch.from_numpy(projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6)) for d in MASKS)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    found = update(
        method.answer(members[0], Prompts(["a"], Reader("unrouted"), Features(np.zeros((1, 1)))), factory), x
    )
    torch.testing.assert_close(found, 2.0 * x @ a.T @ b.T, rtol=1e-5, atol=1e-6)


def test_the_paper_without_a_radio_is_one_cluster() -> None:
    ends = [[member.expert.digest for member in played(name)[1]] for name in ("paper", "single_cluster")]
    assert ends[0] == ends[1]


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


def test_lori_merges_the_experts_by_their_rows() -> None:
    method, members, factory = played("lori")
    answer = method.answer(members[1], Prompts(["a", "b"], None, Features(np.zeros((2, 1)))), factory)
    assert answer.gates.tolist() == [[0.25, 0.75]] * 2
    assert [expert.values.tolist() for expert in answer.experts if expert is not None] == [[1.0, 2.0], [10.0, 4.0]]


def test_lori_keeps_what_is_largest_over_all_layers_or_in_each() -> None:
    values = np.array([0.1, -5.0, 0.2, 0.3, 4.0, -6.0, 7.0, 0.0], dtype=np.float32)
    layers = [describe(number, f"model.layers.{number}.self_attn.q_proj", 6, 2, False) for number in range(2)]

    @dataclass
    class Host:
        """Stands in for who trains: every device's dense B becomes ``values``."""

        layers: Any
        adapter: Any
        projections: Any
        densities: Any
        asked: list[Any] = field(default_factory=list)

        def train(self, experts: Sequence[Expert], method: str) -> list[Expert]:
            self.asked.append((method, [expert.values.tolist() for expert in experts]))
            return [expert.with_values(torch.from_numpy(values)) for expert in experts]

    for name, expected in {
        "lori": [[[1], [0, 1, 2]], [[], [1, 2]]],
        "lori_uniform": [[[1, 3], [1, 2]], [[1], [2]]],
    }.items():
        host = Host(layers, ADAPTER, [Projections(Recipe(0, "orthogonal", d, 2)) for d in range(2)], [0.5, 0.25])
        found = get_method(name).masks.search(host)
        assert found is not None
        assert [[mask.tolist() for mask in masks] for masks in found] == expected
        assert host.asked == [("lori", [[0.0] * 8] * 2)]


def test_ffa_averages_a_dense_b_behind_one_projection() -> None:
    method = get_method("ffa")
    factory = ExpertFactory([LAYER], ADAPTER, seed=0)
    own = Announcement(1, "b", 3, Recipe(0, "orthogonal", 1, 2), (np.array([1]),))
    said = method.announces(own, factory)
    assert (said.recipe.block, said.masks[0].tolist()) == (0, [0, 1, 2, 3])
    other = method.announces(Announcement(0, "a", 1, Recipe(0, "orthogonal", 0, 2)), factory)
    member = Member(1, said, method.begin(said, {0: other, 1: said}, factory), known={0: other, 1: said})
    member.held = {0: Update(0, 1, torch.tensor([4.0, 0.0, 0.0, 8.0])), 1: Update(1, 1, torch.tensor([0.0, 4.0, 0, 0]))}
    member.expert = method.mix(member, factory) or member.expert
    assert member.expert.values.tolist() == [1.0, 3.0, 0.0, 2.0]


def test_fpft_averages_all_weights_and_keeps_nothing_else() -> None:
    method = get_method("fpft")
    factory = ExpertFactory([LAYER], ADAPTER, seed=0, weights=lambda: torch.ones(3))
    known = {d: Announcement(d, "ab"[d], SAMPLES[d], Recipe(0, "orthogonal", d, 2)) for d in SAMPLES}
    member = Member(0, known[0], method.begin(known[0], known, factory), known=known)
    assert member.expert.values.tolist() == [1.0, 1.0, 1.0]
    member.held = {0: Update(0, 1, torch.tensor([4.0, 0.0, 1.0])), 1: Update(1, 1, torch.tensor([0.0, 8.0, 1.0]))}
    member.expert = method.mix(member, factory) or member.expert
    assert member.expert.values.tolist() == [1.0, 6.0, 1.0]
    assert list(member.held) == [0]
    assert method.sources(member) == [("every task", (0, 1))]
