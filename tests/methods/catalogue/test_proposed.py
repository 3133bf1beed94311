"""The default method: a bank with a part in common, weighed by a router."""

from __future__ import annotations

import numpy as np
import torch

from federations import COMMON, LAYERS, RANK, ask, federation, play
from meshtune.adapter.route import Bank
from meshtune.methods.registry import get_method


def test_it_routes_clear_prompts_like_the_oracle() -> None:
    method = get_method("proposed")
    members, factory = federation(method)
    play(method, members, factory)
    gates = ask(method, members[3], factory).gates
    np.testing.assert_allclose(gates, np.eye(3), atol=1e-6)


def test_its_answer_is_the_gated_sum_of_the_groups_common_and_own_updates() -> None:
    """dW = (alpha/r) sum_g gate_g (B_0 A_0 + B_g A_g), A_0 and B_0 as the group sees them, added up layer by layer."""
    method = get_method("proposed")
    members, factory = federation(method)
    play(method, members, factory)
    experts = [expert for expert in ask(method, members[0], factory).experts if expert is not None]
    gates = torch.tensor([[0.5, 0.2, 0.3]])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 7, 12))).float()
    for layer in LAYERS:
        pairs = [expert.pair(layer) for expert in experts]
        expected = torch.zeros(1, 7, 10, dtype=torch.float64)
        for gate, (a, b) in zip(gates[0].double(), pairs, strict=True):
            common, own = b[:, -COMMON:] @ a[-COMMON:], b[:, :-COMMON] @ a[:-COMMON]
            expected += gate * (x.double() @ (common + own).double().T)
        assert not torch.equal(pairs[0][0][-COMMON:], pairs[1][0][-COMMON:])
        found = Bank(experts).route(gates).apply(layer, x, torch.zeros(1, 7, 10))
        torch.testing.assert_close(found.double(), 4.0 / RANK * expected, rtol=0, atol=1e-5)
        assert pairs[0][1].shape == (10, RANK)
