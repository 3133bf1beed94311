"""What a plan says that a method trains and sends, against experts and messages that are really made."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import places, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import Announcement, Member
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.model.skeleton import Skeleton, skeleton
from meshtune.node.announcements import to_messages
from meshtune.node.updates import UpdateRules, publish, write_update
from meshtune.planning.model_sizes import method_sizes
from meshtune.routing.config import RouterConfig
from meshtune.routing.statistics import summarise
from meshtune.training.full_parameters import weights_of
from meshtune.wire.payload import PayloadLimits, byte_split, encode

ADAPTER = AdapterConfig(rank=16, density=0.1)
PLAIN = ExchangeConfig()
FLOATS = ("bfloat16", "float32")
CHOOSING = ("proposed", "oracle")  # methods whose updates name positions, whose bytes are expected ones


@pytest.fixture(scope="module")
def base() -> Base:
    return load(ModelConfig(name="tiny-random"))


@pytest.fixture(scope="module")
def shape() -> Skeleton:
    return skeleton(ModelConfig(name="tiny-random"))


def binary_entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def announced(base: Base, name: str, router: RouterConfig) -> Announcement:
    """An announcement of device 0 with random masks and statistics, as ``name`` would make it."""
    layers, draw = base.adapters.layers, np.random.default_rng(0)
    masks, beside = (
        tuple(np.sort(draw.choice(s, round(0.1 * s), replace=False)) for s in sizes(layers, columns))
        for columns in (16, 8)
    )
    hidden = draw.standard_normal((router.prompts, base.width))
    codes = draw.standard_normal(sum(places(layers).values())).astype(np.float32)
    own = Announcement(
        0, "task", 10_000, Recipe(seed=0, kind="orthogonal", block=0, rank=16), masks,
        summarise(hidden, router.sketch, hidden if router.embeds else None), codes,
        {"lori": masks, "lori_uniform": masks, "own": beside},
    )  # fmt: skip
    return get_method(name).announces(own, ExpertFactory(layers, ADAPTER, 0))


def sent(method: Method, own: Announcement, expert: Expert, factory: ExpertFactory, exchange: ExchangeConfig) -> int:
    """Return the bytes of a device's first update after its values have moved at random."""
    moved = expert.values + torch.randn(expert.count, generator=torch.Generator().manual_seed(0)) * 0.01
    member = Member(0, own, expert.with_values(moved), known={0: own})
    rules = UpdateRules(method, factory, exchange, 1)
    data, _ = write_update(publish(member, 1, rules), member, 0, rules)
    return len(data)


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
    update = sent(method, own, expert, factory, PLAIN)
    assert planned.update == pytest.approx(update, abs=2 * len(shape.layers), rel=0.02 * (name in CHOOSING))
    messages = to_messages(own, method, base.adapters.layers)
    splits = [byte_split(message, encode(message)) for message in messages]
    assert planned.router == sum(split["router"] for split in splits)
    assert planned.control == pytest.approx(sum(split["control"] for split in splits), abs=16)
    assert planned.mask == pytest.approx(sum(split["masks"] for split in splits), rel=0.03, abs=0)


def test_a_common_part_is_counted_value_by_value(shape: Skeleton) -> None:
    """By hand: c (k + d) values a layer for A_0 and B_0, and a tenth of the d (r - c) positions of the own part."""
    adapter = AdapterConfig(rank=16, density=0.1, common=0.25, common_density=0.05)
    common = sum(4 * (layer.inputs + layer.outputs) for layer in shape.layers)
    own = sum(round(0.1 * 12 * layer.outputs) for layer in shape.layers)
    found = method_sizes(shape, "proposed", adapter, PLAIN)
    assert found.parameters == pytest.approx(common + own, abs=len(shape.layers))
    values = round(0.05 * common) + own
    positions = common * binary_entropy(0.05) / 8
    assert found.update == pytest.approx(2 * values + positions, rel=0.02, abs=200)
    alone = method_sizes(shape, "bank", adapter.model_copy(update={"rank": 12}), PLAIN)
    assert found.mask == alone.mask


@pytest.mark.parametrize("form", ["bfloat16", "float32", "int8", "int4", "int2"])
def test_updates_of_chosen_values_are_as_large_as_planned(base: Base, shape: Skeleton, form: str) -> None:
    exchange = ExchangeConfig(values=form)  # type: ignore[arg-type]
    method, own = get_method("proposed"), announced(base, "proposed", RouterConfig(prompts=40, sketch=8))
    factory = ExpertFactory(base.adapters.layers, ADAPTER, 0)
    expert = method.begin(own, {0: own}, factory)
    planned = method_sizes(shape, "proposed", ADAPTER, exchange).update
    assert planned == pytest.approx(sent(method, own, expert, factory, exchange), rel=0.02 if form in FLOATS else 0.1)


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
