"""SpectR's router decides nothing per prompt; its bank weighs each token by the lengths of the experts' updates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.sites import describe
from meshtune.routing.features import Features
from meshtune.routing.spectr import SpectrRouter

LAYERS = [describe(0, "model.layers.0.self_attn.q_proj", 2, 2, False)]


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 1.0), (2, 0.5), (9, 2.0)])
def test_its_bank_weighs_by_length_under_its_temperature(top_k: int, temperature: float) -> None:
    """Updates diag(3, 2) and diag(1, 4): the token (1, 1) is moved by the square roots of 13 and 17."""
    router = SpectrRouter({"b", "a"}, top_k, temperature)
    assert (router.groups, router.by_token) == (("a", "b"), True)
    seen = Features(np.random.default_rng(0).standard_normal((5, 7)))
    np.testing.assert_allclose(router.gates(seen), np.full((5, 2), 0.5))
    made = [
        LoraExpert(LAYERS, 2, 1.0).with_values(torch.tensor([1.0, 0, 0, 1, first, 0, 0, second]))
        for first, second in ((3.0, 2.0), (1.0, 4.0))
    ]
    odds = np.exp(np.sqrt([13.0, 17.0]) / temperature)
    expected = [0.0, 1.0] if top_k == 1 else odds / odds.sum()
    np.testing.assert_allclose(router.bank(made).weights(LAYERS[0], torch.ones(1, 2))[0], expected, rtol=1e-6)
