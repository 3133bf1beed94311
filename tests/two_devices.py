"""Two devices with one position in common, whose round is worked out by hand (eq. 9, 10, 24)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe
from meshtune.methods.base import Answer, Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update

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
