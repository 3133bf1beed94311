from __future__ import annotations

import copy

import pytest
import torch

from meshtune.config.learning_config import TINY, ModelConfig
from meshtune.model.digest import base_digest
from meshtune.model.loading import load


def test_the_same_base_has_the_same_digest_and_adapters_do_not_count() -> None:
    first, second = load(ModelConfig(name=TINY)), load(ModelConfig(name=TINY), per_layer=True)
    assert first.digest == second.digest
    assert len(first.digest) == 32


@pytest.mark.parametrize("change", ["one bit", "type", "name", "tokenizer"])
def test_another_base_has_another_digest(change: str) -> None:
    model, tokenizer = torch.nn.Linear(3, 2), "a tokenizer"
    before = base_digest(model, tokenizer)
    other = copy.deepcopy(model)
    with torch.no_grad():
        if change == "one bit":
            other.weight.view(torch.int32)[1, 2] ^= 1
        elif change == "type":
            other = other.to(torch.bfloat16)
        elif change == "name":
            other = torch.nn.ModuleDict({"a": other})
        else:
            tokenizer = "another"
    assert base_digest(other, tokenizer) != before
