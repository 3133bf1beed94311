"""SpectR against whole singular value decompositions, token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from meshtune.adapter.arrow_routing import Arrow
from meshtune.adapter.expert import Expert, LoraExpert
from meshtune.adapter.sites import LayerSpec, describe
from meshtune.adapter.spectral_routing import Spectral, reader

LAYERS = [
    describe(0, "model.layers.0.self_attn.q_proj", 12, 9, False),
    describe(1, "model.layers.0.self_attn.k_proj", 12, 2, False),
]
RANK, EXPERTS = 3, 4


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def experts() -> list[Expert]:
    """Experts of scales 0.5 to 2; the second layer has fewer outputs than the rank."""
    made = [LoraExpert(LAYERS, RANK, 0.5 * (g + 1)) for g in range(EXPERTS)]
    return [expert.with_values(draw(g, expert.count)) for g, expert in enumerate(made)]


def lengths(made: list[Expert], layer: LayerSpec, token: np.ndarray) -> np.ndarray:
    """Return |S V^T x| of every expert from numpy's decomposition of its whole update."""
    found = []
    for expert in made:
        _, s, v = np.linalg.svd(expert.delta(layer).double().numpy(), full_matrices=False)
        found.append(np.linalg.norm(s * (v @ token)))
    return np.array(found)


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 1.0), (3, 1.0), (2, 0.2), (9, 5.0)])
def test_every_token_weighs_the_experts_by_the_whole_spectrum(top_k: int, temperature: float) -> None:
    made, x = experts(), draw(70, 10, 12)
    bank = Spectral(made, top_k, temperature)
    for layer in LAYERS:
        y = draw(80, 10, layer.outputs)
        expected = y.double().numpy().copy()
        for at, token in enumerate(x.double().numpy()):
            scores = lengths(made, layer, token)
            best = np.argsort(-scores)[:top_k]
            shares = np.exp((scores[best] - scores.max()) / temperature)
            for share, g in zip(shares / shares.sum(), best, strict=True):
                expected[at] += share * (made[g].delta(layer).double().numpy() @ token)
        found = bank.route(torch.ones(2, EXPERTS)).apply(layer, x[None], y.clone()[None], [7, 3])
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)


def test_a_score_is_the_length_of_the_update() -> None:
    made, x = experts(), draw(3, 5, 12).double()
    for layer in LAYERS:
        found = Spectral(made).scores(layer, x)
        for g, expert in enumerate(made):
            torch.testing.assert_close(found[:, g], (x @ expert.delta(layer).double().T).norm(dim=-1))


def test_by_hand_it_sees_what_arrow_does_not() -> None:
    """B A = diag(3, 2): Arrow sees nothing of the token (0, 1), SpectR sees 2."""
    layers = [describe(0, "model.layers.0.self_attn.q_proj", 2, 2, False)]
    made = LoraExpert(layers, 2, 1.0).with_values(torch.tensor([1.0, 0, 0, 1, 3, 0, 0, 2]))
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(Spectral([made]).scores(layers[0], x), torch.tensor([[2.0], [3.0]]))
    torch.testing.assert_close(Arrow([made]).scores(layers[0], x), torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(reader(*made.pair(layers[0]), 1.0).abs(), torch.diag(torch.tensor([3.0, 2])).double())


def test_an_expert_without_an_update_scores_nothing() -> None:
    made = experts()
    made[1] = made[1].with_values(torch.zeros_like(made[1].values))
    assert not Spectral(made).scores(LAYERS[0], draw(7, 10, 12))[:, 1].any()


def test_what_answers_alike_has_one_digest_and_it_is_not_arrows() -> None:
    made = experts()
    assert Spectral(made, 2).digest == Spectral(experts(), 2).digest
    others = [Spectral(made, 3), Spectral(made, 2, 0.5), Arrow(made, 2), Spectral(made[::-1], 2)]
    assert len({bank.digest for bank in [Spectral(made, 2), *others]}) == 5
