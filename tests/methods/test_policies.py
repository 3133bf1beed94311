"""Policies of methods: how much is trained, which masks are taken, and which routers are scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from federations import LAYERS, RANK, announcement
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.full_expert import FullExpert
from meshtune.methods.config import PaperConfig
from meshtune.methods.policies import (
    BY_CODES,
    BY_STATISTICS,
    CALIBRATED,
    EVERY_POSITION,
    FULL,
    LORA,
    NEGOTIABLE,
    ORACLE,
    SPARSE,
    UNROUTED,
    AdapterKind,
)
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import NEGOTIATED
from meshtune.routing.config import RouterConfig


@pytest.mark.parametrize(("density", "count"), [(1.0, 40), (0.1, 4), (0.26, 10), (0.001, 1)])
def test_a_sparse_adapter_trains_its_share_of_b(density: float, count: int) -> None:
    """B has 2 x 10 x 2 positions."""
    assert SPARSE.count(LAYERS, RANK, density, 999) == count


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_the_others_train_all_that_they_have(density: float) -> None:
    assert LORA.count(LAYERS, RANK, density, 999) == LoraExpert(LAYERS, RANK, 1.0).count
    assert FULL.count(LAYERS, RANK, density, 999) == FullExpert(LAYERS, torch.zeros(999)).count


@pytest.mark.parametrize("name", METHODS)
def test_the_kind_of_a_method_is_that_of_the_experts_it_trains(name: str) -> None:
    from federations import federation

    method = get_method(name)
    members, _ = federation(method)
    kind: AdapterKind = method.kind
    trained_as_lora = {"alternating": "factors", "fedex": "residual"}
    assert {member.expert.kind for member in members} == {trained_as_lora.get(name, kind.name)}
    zero = kind.projected or kind.name == "core"  # B = 0 behind projections, R = 0 between fixed matrices
    assert all((not member.expert.values.any()) == zero for member in members)


def test_negotiated_masks_are_taken_only_by_who_adds_expansions() -> None:
    own = announcement(0)
    agreed = (np.array([3]), np.array([4]))
    negotiated = replace(own, others={**own.others, NEGOTIATED: agreed})
    assert NEGOTIABLE.of(negotiated) is agreed
    assert NEGOTIABLE.of(own) is own.masks
    assert CALIBRATED.of(negotiated) is own.masks
    assert EVERY_POSITION.of(negotiated) is own.masks


def test_routers_are_scored_once_each_the_own_one_first() -> None:
    router = RouterConfig(kind="cosine", also=("top1", "cosine"))
    paper = PaperConfig(reading="diag", also=("plain", "diag", "unrouted"))
    assert BY_STATISTICS.names(router, paper) == ("cosine", "top1")
    assert BY_CODES.names(router, paper) == ("diag", "plain", "unrouted")
    assert UNROUTED.names(router, paper) == ORACLE.names(router, paper) == ()
