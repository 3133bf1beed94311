"""A perfect router over dense LoRA experts, one a task."""

from __future__ import annotations

import numpy as np

from federations import LAYERS, RANK, ask, federation, play
from meshtune.adapter.expert import LoraExpert
from meshtune.methods.registry import get_method


def test_a_and_b_are_averaged_within_a_task_and_each_task_has_its_own() -> None:
    method = get_method("hard_moe_lora")
    members, factory = federation(method)
    published = play(method, members, factory)
    answer = ask(method, members[3], factory)
    assert answer.gates.tolist() == np.eye(3).tolist()
    expected = ((10 * published[0].values + 30 * published[2].values) / 40, published[1].values, published[3].values)
    for expert, values in zip(answer.experts, expected, strict=True):
        assert isinstance(expert, LoraExpert)
        assert expert.count == RANK * sum(layer.inputs + layer.outputs for layer in LAYERS)
        np.testing.assert_allclose(expert.values, values, rtol=0, atol=1e-6)


def test_all_start_from_one_initialisation_without_masks() -> None:
    method = get_method("hard_moe_lora")
    members, factory = federation(method)
    assert len({member.expert.digest for member in members}) == 1
    assert members[0].expert.digest == factory.lora().digest
    assert not method.masks.selects
