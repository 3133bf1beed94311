"""All weights as one expert: told apart by its values alone, and without A and B."""

from __future__ import annotations

import pytest
import torch

from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.sites import describe

LAYERS = [describe(0, "model.layers.0.self_attn.q_proj", 8, 5, False)]


def test_its_count_is_that_of_the_weights_and_a_copy_leaves_them() -> None:
    weights = torch.arange(7.0)
    expert = FullExpert(LAYERS, weights)
    other = expert.with_values(weights + 1)
    assert (expert.count, other.count) == (7, 7)
    assert expert.values is weights
    assert (other.layers, other.values.tolist()) == (LAYERS, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


def test_digests_tell_weights_apart_and_no_other_kind_has_its_form() -> None:
    one, same, other = (FullExpert(LAYERS, torch.full((3,), value)) for value in (1.0, 1.0, 1.0000001))
    assert one.digest == same.digest
    assert one.digest != other.digest
    assert one.form == other.form != LoraExpert(LAYERS, 1, 1.0).form


def test_it_has_no_update_beside_the_model() -> None:
    expert = FullExpert(LAYERS, torch.zeros(3))
    for ask in (expert.pair, expert.delta):
        with pytest.raises(NotImplementedError, match=r"^a fully trained model has no A and B$"):
            ask(LAYERS[0])
