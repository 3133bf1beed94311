"""Eq. 26's three readings against their formulas written out, and the top-k against sorting."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from meshtune.adapter.expert import Projections
from meshtune.adapter.projection import Recipe
from meshtune.adapter.shared import READINGS, Shared, Source, aggregate
from meshtune.adapter.sites import describe

LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 12, 5, False) for i in range(2)]
RANK, MEMBERS = 3, 2


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bank(reading: str, top_k: int | None = None, gated: bool = False) -> Shared:
    sources = [
        Source(
            Projections(Recipe(0, "orthogonal", j, RANK)),
            {layer.place: draw(10 * j + i, 12) for i, layer in enumerate(LAYERS)},
        )
        for j in range(MEMBERS)
    ]
    return Shared(LAYERS, sources, draw(99, 2 * 5 * RANK), 1.5, reading, top_k, gated)


def by_hand(reading: str, x: Tensor, layer: int) -> Tensor:
    """Return z (tokens, members, r), token by token and member by member."""
    rows = []
    for token in x:
        mine = []
        for j in range(MEMBERS):
            a = Projections(Recipe(0, "orthogonal", j, RANK)).of(LAYERS[layer])
            h = draw(10 * j + layer, 12)
            h = h / h.norm()
            if reading == "diag":
                mine.append(a @ torch.diag(h) @ token)
            elif reading == "outer":
                mine.append(a @ torch.outer(h, h) @ token)
            else:
                cosine = torch.cosine_similarity(h, token, dim=0) if reading == "scalar" else 1.0
                mine.append(a @ token * cosine)
        rows.append(torch.stack(mine))
    return torch.stack(rows)


@pytest.mark.parametrize("top_k", [None, 1, 4])
@pytest.mark.parametrize("reading", READINGS)
def test_every_reading_is_its_formula(reading: str, top_k: int | None) -> None:
    x = draw(1, 7, 12)
    for layer in range(2):
        z = by_hand(reading, x, layer)
        if top_k is not None:
            for token in z.view(7, -1):
                order = token.abs().argsort(descending=True)
                token[order[top_k:]] = 0.0
        b = draw(99, 2 * 5 * RANK)[layer * 15 : (layer + 1) * 15].view(5, RANK)
        expected = 1.5 * z.sum(1) @ b.T
        route = bank(reading, top_k).route(torch.ones(2, 1))
        found = route.apply(LAYERS[layer], x[None], torch.zeros(1, 7, 5), [4, 3])
        torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)


def test_gates_weigh_the_members_row_by_row() -> None:
    x, gates = draw(1, 7, 12), torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    found = bank("plain", gated=True).route(gates).apply(LAYERS[0], x[None], torch.zeros(1, 7, 5), [4, 3])
    weights = gates.repeat_interleave(torch.tensor([4, 3]), dim=0)[..., None]
    z = (by_hand("plain", x, 0) * weights).sum(1)
    torch.testing.assert_close(found[0], 1.5 * z @ draw(99, 30)[:15].view(5, RANK).T, rtol=1e-4, atol=1e-5)


def test_what_answers_alike_has_one_digest() -> None:
    assert bank("diag", 4).digest == bank("diag", 4).digest
    assert len({bank(r, k).digest for r in READINGS for k in (None, 4)}) == 8


def test_the_mean_is_over_all_or_over_those_that_train_a_position() -> None:
    updates = [torch.tensor([1.0, 2.0]), torch.tensor([5.0])]
    places = [torch.tensor([0, 2]), torch.tensor([2])]
    assert aggregate(updates, places, [1.0, 3.0], 4, masked=False).tolist() == [0.25, 0.0, 17 / 4, 0.0]
    assert aggregate(updates, places, [1.0, 3.0], 4, masked=True).tolist() == [1.0, 0.0, 17 / 4, 0.0]
