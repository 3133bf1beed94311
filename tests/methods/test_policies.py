"""Policies of methods: how much is trained, which masks are taken, and which routers are scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federations import ADAPTER, LAYERS, RANK, announcement, federation
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, sizes
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import (
    BESIDE_COMMON,
    BY_CODES,
    BY_STATISTICS,
    CALIBRATED,
    EVERY_POSITION,
    FULL,
    HYBRID,
    LORA,
    NEGOTIABLE,
    ORACLE,
    SPARSE,
    UNROUTED,
    AdapterKind,
)
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import NEGOTIATED, Announcement
from meshtune.node.announcements import top_masks
from meshtune.routing.config import RouterConfig


@pytest.mark.parametrize(("density", "count"), [(1.0, 40), (0.1, 4), (0.26, 10), (0.001, 1)])
def test_a_sparse_adapter_trains_its_share_of_b(density: float, count: int) -> None:
    """B has 2 x 10 x 2 positions."""
    assert SPARSE.count(LAYERS, ADAPTER, density, 999) == SPARSE.sent(LAYERS, ADAPTER, density, 999) == count


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_the_others_train_all_that_they_have(density: float) -> None:
    assert LORA.count(LAYERS, ADAPTER, density, 999) == LoraExpert(LAYERS, RANK, 1.0).count
    assert FULL.count(LAYERS, ADAPTER, density, 999) == FullExpert(LAYERS, torch.zeros(999)).count


WIDE = [describe(i, f"model.layers.{i}.mlp.down_proj", 30, 20 + 7 * i, False) for i in range(3)]


@given(
    rank=st.integers(2, 12),
    common=st.floats(0.01, 0.99),
    share=st.floats(1e-3, 1.0),
    density=st.floats(0.01, 1.0),
)
def test_a_hybrid_adapter_trains_and_sends_what_its_expert_does(
    rank: int, common: float, share: float, density: float
) -> None:
    """Its own masks are a device's, calibrated over the columns that the common part leaves."""
    adapter = AdapterConfig(rank=rank, common=common, common_density=share, budget="uniform")
    scores = [np.arange(size, dtype=float) for size in sizes(WIDE, rank - adapter.common_rows)]
    own = top_masks(scores, adapter, None, density)
    recipe = Recipe(0, "gaussian", 0, BESIDE_COMMON.columns(adapter))
    factory = ExpertFactory(WIDE, adapter, seed=1)
    expert = factory.hybrid(factory.alone(Announcement(0, "a", 1, recipe, own)))
    assert HYBRID.count(WIDE, adapter, density, 999) == expert.count
    assert HYBRID.sent(WIDE, adapter, density, 999) == expert.most
    assert expert.summed is not None
    assert HYBRID.chosen(WIDE, adapter) == (expert.largest, len(range(expert.count)[expert.summed]))
    assert expert.rank == rank
    assert expert.scale == adapter.scale


def test_a_part_has_a_learning_rate_of_its_own_kind() -> None:
    members, _ = federation(get_method("proposed"))
    assert HYBRID.rates == ("sparse", "lora")
    assert len(HYBRID.rates) == len(members[0].expert.parts)
    for kind in (SPARSE, LORA, FULL):
        assert kind.rates == (kind.name,)
        assert kind.chosen(LAYERS, ADAPTER) == (0, 0)
    for name in METHODS:
        assert len(get_method(name).kind.rates) == len(federation(get_method(name))[0][0].expert.parts)


@pytest.mark.parametrize("name", METHODS)
def test_masks_are_over_the_columns_behind_the_recipe(name: str) -> None:
    """Of rank 2 one column belongs to the common expert, if there is one."""
    method = get_method(name)
    members, _ = federation(method)
    columns = method.masks.columns(ADAPTER)
    assert columns == (1 if name in ("proposed", "oracle") else 2)
    assert all(member.own.recipe.rank == columns for member in members)


def test_masks_beside_a_common_part_are_not_those_of_the_whole_rank() -> None:
    own = announcement(0)
    assert BESIDE_COMMON.of(own) is own.others["own"]
    assert BESIDE_COMMON.of(replace(own, others={})) == ()


@pytest.mark.parametrize("name", METHODS)
def test_the_kind_of_a_method_is_that_of_the_experts_it_trains(name: str) -> None:
    method = get_method(name)
    members, _ = federation(method)
    kind: AdapterKind = method.kind
    trained_as = {"alternating": "factors", "fedex": "residual", "proposed": "hybrid", "oracle": "hybrid"}
    assert {member.expert.kind for member in members} == {trained_as.get(name, kind.name)}
    zero = kind is SPARSE or kind.name == "core"  # B = 0 behind projections, R = 0 between fixed matrices
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
