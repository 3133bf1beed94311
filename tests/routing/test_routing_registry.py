"""Every router by its name, with the settings that are its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from embeddings import K, announced, far, seen
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.sites import describe
from meshtune.errors import UserError
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.registry import EMBEDDING, ROUTERS
from meshtune.routing.routers import WhitenedRouter, make_router
from meshtune.routing.statistics import summarise


def test_every_name_is_a_router_and_a_value_of_the_configuration() -> None:
    settings = RouterConfig(kind="cosine", also=("top1", "cosine", "arrow"))
    assert (settings.names, settings.embeds) == (("cosine", "top1", "arrow"), False)
    assert RouterConfig(kind="retrieval").embeds
    assert RouterConfig(also=("retrieval",)).embeds
    x = far()["t0"]
    for name in ROUTERS:
        assert RouterConfig(kind=name, also=(name,)).names == (name,)
        router = make_router(name, {"b": [announced(x)], "a": [announced(x + 1)]})
        assert router.groups == ("a", "b")
        np.testing.assert_allclose(router.gates(seen(x)).sum(axis=1), 1.0)
        assert router.by_token == (router.bank([]) is not None)
    assert make_router("arrow", {"a": [announced(x)]}).by_token


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


def test_only_those_that_are_said_to_use_embeddings_need_them() -> None:
    draw = np.random.default_rng(0).standard_normal((20, K))
    plain = {"a": [summarise(draw)], "b": [summarise(draw + 1)]}
    for name in ROUTERS:
        without, having = RouterConfig(kind="top1", also=()), RouterConfig(kind="top1", also=(name,))
        assert having.embeds == (name in EMBEDDING)
        having.check_announced(name)
        if name not in EMBEDDING:
            without.check_announced(name)
            assert make_router(name, plain).gates(Features(draw)).shape == (20, 2)
            continue
        with pytest.raises(UserError, match=rf"^the router {name} needs embeddings, .* router\.also=\[{name}\]$"):
            without.check_announced(name)
        with pytest.raises(UserError, match="announced none"):
            make_router(name, plain)


def test_the_names_are_known_without_what_the_routers_need() -> None:
    code = """
import sys
from meshtune.routing.registry import ROUTERS
assert "whitened" in ROUTERS
print([name for name in ("numpy", "pydantic", "torch", "meshtune.routing.routers") if name in sys.modules])
from meshtune.routing.config import RouterConfig
RouterConfig(kind="arrow").check_announced("arrow")
print([name for name in ("torch", "meshtune.routing.routers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "[]", ""]


def test_a_name_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"there is no router called whitend: did you mean whitened\?"):
        RouterConfig(also=("top1", "whitend"))
    with pytest.raises(UserError, match=r"^there is no router called whitend: did you mean whitened\?$"):
        make_router("whitend", {"a": [summarise(np.ones((2, 3)))]})
