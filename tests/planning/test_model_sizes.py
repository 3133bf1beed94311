"""What a plan says that a method trains and sends, against experts and messages that are really made."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import places, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import Announcement
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.model.skeleton import Skeleton, skeleton
from meshtune.node.announcements import to_messages
from meshtune.planning.model_sizes import method_sizes
from meshtune.routing.config import RouterConfig
from meshtune.routing.statistics import summarise
from meshtune.training.full_parameters import weights_of
from meshtune.wire.payload import Message, PayloadLimits, byte_split, encode

ADAPTER = AdapterConfig(rank=16, density=0.1)
PLAIN = ExchangeConfig()


@pytest.fixture(scope="module")
def base() -> Base:
    return load(ModelConfig(name="tiny-random"))


@pytest.fixture(scope="module")
def shape() -> Skeleton:
    return skeleton(ModelConfig(name="tiny-random"))


def announced(base: Base, name: str, router: RouterConfig) -> Announcement:
    """An announcement of device 0 with random masks and statistics, as ``name`` would make it."""
    layers, draw = base.adapters.layers, np.random.default_rng(0)
    masks = tuple(np.sort(draw.choice(s, round(0.1 * s), replace=False)) for s in sizes(layers, 16))
    hidden = draw.standard_normal((router.prompts, base.width))
    codes = draw.standard_normal(sum(places(layers).values())).astype(np.float32)
    own = Announcement(
        0, "task", 10_000, Recipe(seed=0, kind="orthogonal", block=0, rank=16), masks,
        summarise(hidden, router.sketch, hidden if router.embeds else None), codes,
        {"lori": masks, "lori_uniform": masks, "proposed": masks},
    )  # fmt: skip
    return get_method(name).announces(own, ExpertFactory(layers, ADAPTER, 0))


@pytest.mark.parametrize("name", METHODS)
def test_every_methods_expert_and_messages_are_as_planned(base: Base, shape: Skeleton, name: str) -> None:
    router = RouterConfig(prompts=40, sketch=8)
    planned = method_sizes(shape, name, ADAPTER, PLAIN, router)
    method, own = get_method(name), announced(base, name, router)
    factory = ExpertFactory(base.adapters.layers, ADAPTER, 0, weights=lambda: weights_of(base))
    expert = method.begin(own, {0: own}, factory)
    assert planned.parameters == pytest.approx(expert.count, abs=len(shape.layers))  # every layer's share is rounded
    assert planned.share == pytest.approx(expert.count / base.parameters, rel=1e-3, abs=0)
    if not method.sharing.sends:
        assert (planned.update, planned.once) == (0, 0)
        return
    update = Message("update", 0, 1, 0, {}, {"values": expert.values.detach().bfloat16()[: expert.most]})
    assert planned.update == pytest.approx(len(encode(update)), abs=2 * len(shape.layers))
    messages = to_messages(own, method, base.adapters.layers)
    splits = [byte_split(message, encode(message)) for message in messages]
    assert planned.router == sum(split["router"] for split in splits)
    assert planned.control == pytest.approx(sum(split["control"] for split in splits), abs=16)
    assert planned.mask == pytest.approx(sum(split["masks"] for split in splits), rel=0.03, abs=0)


def test_embeddings_are_sent_where_a_router_asks_for_them(shape: Skeleton) -> None:
    without, having = (
        method_sizes(shape, "bank", ADAPTER, PLAIN, RouterConfig(also=also)) for also in ((), ("retrieval",))
    )
    assert having.router - without.router == 2 * shape.width


def test_limits_are_sent_where_unknown_tasks_are_refused(shape: Skeleton) -> None:
    """Two numbers of four bytes, and their entry in the message's header."""
    without, having = (
        method_sizes(shape, "bank", ADAPTER, PLAIN, RouterConfig(abstain=abstain)) for abstain in ("never", "hard")
    )
    assert having.router - without.router == 8


def test_the_published_models_at_rank_32() -> None:
    """By hand: LoRA has r (k + d) values a layer, a dense B r d, 28 blocks of q, k, v, o, gate, up, down."""
    for name, h, kv, wide in (("qwen2.5-1.5b", 1536, 256, 8960), ("qwen2.5-7b", 3584, 512, 18944)):
        outputs = h + kv + kv + h + wide + wide + h
        inputs = h + h + h + h + h + h + wide
        found = {m: method_sizes(skeleton(ModelConfig(name=name)), m, AdapterConfig(rank=32), PLAIN) for m in METHODS}
        assert found["lora"].parameters == 28 * 32 * (outputs + inputs)
        assert found["ffa"].parameters == 28 * 32 * outputs
        assert found["bank"].parameters == round(0.1 * 28 * 32 * outputs)
        assert found["fpft"].share == 1
        assert found["lora"].fits
        assert not found["fpft"].fits
        assert found["fpft"].update > PayloadLimits().total


def test_impossible_values_are_one_sentence(shape: Skeleton) -> None:
    with pytest.raises(UserError, match="there is no method called propsed: did you mean proposed"):
        method_sizes(shape, "propsed", ADAPTER, PLAIN)


def test_coded_forms_are_smaller(shape: Skeleton) -> None:
    plain, eight, four = (
        method_sizes(shape, "lora", ADAPTER, ExchangeConfig(values=form)).update
        for form in ("bfloat16", "int8", "int4")
    )
    assert plain > eight > four
    assert torch.finfo(torch.bfloat16).bits / 8 * method_sizes(shape, "lora", ADAPTER, PLAIN).parameters < plain
