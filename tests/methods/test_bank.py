"""Banks: experts kept apart by group, against means worked out position by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from federations import LAYERS, federation
from meshtune.methods.registry import get_method
from meshtune.methods.state import Update


def test_devices_of_one_group_share_mask_block_and_mean() -> None:
    """sum_j w_j B_j A = (sum_j w_j B_j) A, exactly, because the group shares mask and A."""
    method = get_method("proposed")
    members, factory = federation(method)
    before = {m.device: m for m in members}
    published: dict[int, Any] = {}
    for member in members:
        values = torch.from_numpy(np.random.default_rng(member.device).standard_normal(member.expert.count)).float()
        published[member.device] = (member.expert.with_values(values), Update(member.device, 1, values))
    for member in members:
        member.held.update({device: update for device, (_, update) in published.items()})
        member.expert = method.mix(member, factory) or member.expert
    weights = {0: 10 / 40, 2: 30 / 40}
    for layer in LAYERS:
        expected = sum(w * published[d][0].delta(layer) for d, w in weights.items())
        for device in (0, 2):
            torch.testing.assert_close(before[device].expert.delta(layer), expected, rtol=0, atol=1e-6)
    assert before[0].expert.digest == before[2].expert.digest
