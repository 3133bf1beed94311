"""LoRI: masks by magnitude, experts merged by their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from meshtune.adapter.expert import Expert, Projections
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe
from meshtune.methods.base import Prompts
from meshtune.methods.registry import get_method
from meshtune.routing.features import Features
from two_devices import ADAPTER, played


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
