"""Every router by its name, with the settings that are its own."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.sites import describe
from meshtune.errors import UserError
from meshtune.routing.config import Kind, RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.registry import ROUTERS, make_router
from meshtune.routing.routers import WhitenedRouter
from meshtune.routing.statistics import Statistics, summarise

K = 16


def far(groups: int = 3, rows: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Embeddings of several groups: nearly all of every mean is common to all."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(K) * 30
    return {
        f"t{g}": common + rng.standard_normal(K) + rng.standard_normal((rows + 9 * g, K)) * 0.3 for g in range(groups)
    }


def announced(embedded: np.ndarray) -> Statistics:
    return summarise(np.zeros_like(embedded), 2, embedded)


def seen(embedded: np.ndarray) -> Features:
    return Features(np.zeros_like(embedded), embedded)


def test_every_name_of_the_configuration_is_a_router() -> None:
    assert tuple(ROUTERS) == get_args(Kind)
    settings = RouterConfig(kind="cosine", also=("top1", "cosine", "arrow"))
    assert (settings.names, settings.embeds) == (("cosine", "top1", "arrow"), False)
    assert RouterConfig(kind="retrieval").embeds
    assert RouterConfig(also=("retrieval",)).embeds
    x = far()["t0"]
    for name in ROUTERS:
        router = make_router(name, {"b": [announced(x)], "a": [announced(x + 1)]})
        assert router.groups == ("a", "b")
        np.testing.assert_allclose(router.gates(seen(x)).sum(axis=1), 1.0)
        assert router.by_token == (name == "arrow") == (router.bank([]) is not None)


def test_a_router_gets_the_settings_that_are_its_own() -> None:
    data = {f"t{g}": x for g, x in enumerate(far().values())}
    sources = {group: [summarise(x, 4)] for group, x in data.items()}
    query = Features(np.concatenate(list(data.values())))
    settings = RouterConfig(shrinkage=0.2, temperature=3.0)
    soft = make_router("whitened", sources, settings)
    alike = WhitenedRouter(sources, 0.2, 3.0)
    np.testing.assert_array_equal(soft.gates(query), alike.gates(query))
    assert not np.array_equal(soft.scores(query), make_router("whitened", sources).scores(query))
    best = make_router("top1", sources, settings)
    np.testing.assert_array_equal(best.scores(query), alike.scores(query))
    np.testing.assert_array_equal(best.gates(query), np.eye(3)[alike.scores(query).argmax(axis=1)])
    experts = [LoraExpert([describe(0, "model.layers.0.self_attn.q_proj", 4, 5, False)], 1, 1.0)] * 3
    arrow = make_router("arrow", sources, RouterConfig(arrow_top_k=2, arrow_temperature=0.5)).bank(experts)
    assert arrow is not None
    assert arrow.digest.startswith("arrow/2/0.5/")


def test_a_name_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"^there is no router called whitend: did you mean whitened\?$"):
        make_router("whitend", {"a": [summarise(np.ones((2, 3)))]})
