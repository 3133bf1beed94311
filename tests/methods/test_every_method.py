"""The behaviour every method must show, whatever it is: a new one is added to the registry and is tested here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, places, sizes
from meshtune.errors import UserError
from meshtune.methods import catalogue
from meshtune.methods.base import Method, Prompts
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import Announcement, Member, Update
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader, WhitenedRouter
from meshtune.routing.statistics import summarise

RANK = 2
LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 12, 10, False) for i in range(2)]
GROUPS = ["a", "b", "a", "c"]
ADAPTER = AdapterConfig(rank=RANK, alpha=4.0)


def announcement(device: int) -> Announcement:
    draw = np.random.default_rng(device)
    masks = tuple(np.sort(draw.choice(size, 5, replace=False)) for size in sizes(LAYERS, RANK))
    group = GROUPS[device]
    recipe = Recipe(seed=3, kind="orthogonal", block=sorted(set(GROUPS)).index(group), rank=RANK)
    statistics = summarise(draw.standard_normal((20, 6)) + 10 * ord(group))
    codes = draw.standard_normal(sum(places(LAYERS).values())).astype(np.float32)
    found = {
        name: tuple(np.sort(draw.choice(size, 4, replace=False)) for size in sizes(LAYERS, RANK))
        for name in ("lori", "lori_uniform")
    }
    return Announcement(device, group, 10 * (device + 1), recipe, masks, statistics, codes, found)


def federation(method: Method) -> tuple[list[Member], ExpertFactory]:
    """Four devices, two of one group; every device knows all, or only itself where nothing is exchanged."""
    factory = ExpertFactory(LAYERS, ADAPTER, seed=5, weights=lambda: torch.linspace(-1, 1, 50))
    everyone = {device: method.announces(announcement(device), factory) for device in range(4)}
    members = []
    for device, own in everyone.items():
        known = dict(everyone) if method.sharing.sends else {device: own}
        members.append(Member(device, own, method.begin(own, known, factory), known=known))
    return members, factory


def play(
    method: Method, members: list[Member], factory: ExpertFactory, version: int = 1, silent: int | None = None
) -> dict[int, Update]:
    """Train for a round (values move by a known random step), publish to all, mix; nobody hears ``silent``."""
    published = {}
    for member in members:
        step = torch.from_numpy(np.random.default_rng([version, member.device]).standard_normal(member.expert.count))
        member.expert = member.expert.with_values(member.expert.values + step.float())
        published[member.device] = Update(member.device, version, member.expert.values.clone())
    for member in members:
        near = set(published) - {silent} if method.sharing.sends else set[int]()
        member.held.update({device: published[device] for device in sorted({*near, member.device})})
        member.expert = method.mix(member, factory) or member.expert
    return published


def dense(masks: Sequence[Any]) -> list[int]:
    """Return where the positions of every layer's mask lie in all layers' B laid end to end: 10 x 2 places a layer."""
    return [20 * layer + int(place) for layer, mask in enumerate(masks) for place in mask]


def ask(method: Method, member: Member, factory: ExpertFactory) -> Any:
    sources: dict[str, list[Any]] = {}
    for known in member.known.values():
        assert known.statistics is not None
        sources.setdefault(known.group, []).append(known.statistics)
    features = Features(np.stack([np.full(6, 10.0 * ord(group)) for group in "abc"]))
    names = method.routing.names(RouterConfig(), PaperConfig())
    router = WhitenedRouter(sources) if method.routing.statistics else Reader(names[0]) if names else None
    return method.answer(member, Prompts(["a", "b", "c"], router, features), factory)


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    return get_method(request.param)


def test_the_registry_names_what_is_in_the_catalogue() -> None:
    files = {file.stem for file in Path(catalogue.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name: get_method(name).name for name in METHODS} == {name: name for name in files}


def test_training_starts_from_no_update(method: Method) -> None:
    members, factory = federation(method)
    for member in members:
        if not method.kind.frozen_base:
            assert torch.equal(member.expert.values, factory.full().values)
            continue
        for layer in LAYERS:
            assert not member.expert.delta(layer).any()


def test_gates_sum_to_one_and_name_experts(method: Method) -> None:
    members, factory = federation(method)
    play(method, members, factory)
    for member in members:
        answer = ask(method, member, factory)
        assert answer.gates.shape == (3, len(answer.experts))
        np.testing.assert_allclose(answer.gates.sum(axis=1), 1.0)


def test_the_devices_behind_every_expert_are_named(method: Method) -> None:
    """Device 1 is alone in its group; device 2, of a group with device 0, has not heard of round 2 from it."""
    members, factory = federation(method)
    for version in (1, 2):
        play(method, members, factory, version)
    paper = {key: [("every task", (0, 1, 2, 3))] for key in ("paper", "paper_masked", "single_cluster")}
    mean = {key: [("every task", (0, 1, 2, 3))] for key in ("lora", "ffa", "fpft")}
    one = {"central": [("every task", (1,))]}
    known = {"local": [("b", (1,))], **paper, **mean, **one}
    assert method.sources(members[1]) == known.get(method.name, [("a", (0, 2)), ("b", (1,)), ("c", (3,))])
    members[2].held.pop(3, None)
    if 0 in members[2].held:
        old = members[2].held[0]
        members[2].held[0] = Update(0, 1, old.values)
    paper = {key: [("every task", (0, 1, 2))] for key in paper}
    mean = {key: [("every task", (1, 2))] for key in mean} | {"fpft": [("every task", (0, 1, 2, 3))]}  # holds the mean
    one = {key: [("every task", (2,))] for key in one}
    known = {"local": [("a", (2,))], **paper, **mean, **one}
    assert method.sources(members[2]) == known.get(method.name, [("a", (0, 2)), ("b", (1,))])
    assert len(ask(method, members[2], factory).experts) == len(method.sources(members[2]))


def test_it_is_a_function_of_what_is_held(method: Method) -> None:
    """The same start and the same updates give bit-equal experts."""
    ends = []
    for _ in range(2):
        members, factory = federation(method)
        for version in (1, 2):
            play(method, members, factory, version)
        ends.append([member.expert.digest for member in members])
    assert ends[0] == ends[1]


def test_a_silent_neighbour_is_left_out_of_the_mean(method: Method) -> None:
    """Device 0 (10 rows) hears 1 (20) and 3 (40), but never 2, its only mate; worked out position by position."""
    members, factory = federation(method)
    published = play(method, members, factory, silent=2)
    rows = {0: 10, 1: 20, 3: 40}
    values = {device: published[device].values.double().numpy() for device in rows}
    if method.name in ("lora", "ffa", "fpft"):
        expected = sum(rows[d] * values[d] for d in rows) / 70
    elif method.name in ("paper", "paper_masked", "single_cluster", "shared_b"):
        trained = {
            d: dict(zip(dense(announcement(d).masks), values[d].tolist(), strict=True)) for d in rows
        }  # position -> value
        expected = np.array(
            [
                sum(rows[d] * trained[d].get(place, 0.0) for d in rows)
                / (sum(rows[d] for d in rows if place in trained[d]) if method.name == "paper_masked" else 70)
                for place in trained[0]
            ]
        )
    else:
        expected = values[0]
    np.testing.assert_allclose(members[0].expert.values.double().numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ask(method, members[0], factory).gates.sum(axis=1), 1.0)


def test_devices_of_one_group_share_mask_block_and_mean() -> None:
    """sum_j w_j B_j A = (sum_j w_j B_j) A, exactly, because the group shares mask and A."""
    method = get_method("proposed")
    members, factory = federation(method)
    before = {m.device: m for m in members}
    published: dict[int, Any] = {}
    for member in members:
        values = torch.from_numpy(np.random.default_rng(member.device).standard_normal(member.expert.count)).float()
        published[member.device] = (member.expert.with_values(values), Update(member.device, 1, values))
    for member in members:
        member.held.update({device: update for device, (_, update) in published.items()})
        member.expert = method.mix(member, factory) or member.expert
    weights = {0: 10 / 40, 2: 30 / 40}
    for layer in LAYERS:
        expected = sum(w * published[d][0].delta(layer) for d, w in weights.items())
        for device in (0, 2):
            torch.testing.assert_close(before[device].expert.delta(layer), expected, rtol=0, atol=1e-6)
    assert before[0].expert.digest == before[2].expert.digest


def test_lora_averages_a_and_b_with_weights_by_samples() -> None:
    method = get_method("lora")
    members, factory = federation(method)
    play(method, members, factory)
    values = [members[0].held[d].values.double() for d in range(4)]
    expected = sum(v * (d + 1) / 10 for d, v in enumerate(values))
    for member in members:
        torch.testing.assert_close(member.expert.values.double(), expected, rtol=0, atol=1e-6)


def test_the_oracle_asks_the_right_group_and_local_asks_itself() -> None:
    for name in ("hard_moe", "hard_moe_lora"):
        method = get_method(name)
        members, factory = federation(method)
        play(method, members, factory)
        answer = ask(method, members[1], factory)
        assert answer.gates.tolist() == np.eye(3).tolist()
    method = get_method("local")
    members, factory = federation(method)
    play(method, members, factory)
    answer = ask(method, members[1], factory)
    assert [expert.digest for expert in answer.experts] == [members[1].expert.digest]


def test_proposed_routes_clear_prompts_like_the_oracle() -> None:
    method = get_method("proposed")
    members, factory = federation(method)
    play(method, members, factory)
    gates = ask(method, members[3], factory).gates
    np.testing.assert_allclose(gates, np.eye(3), atol=1e-6)


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean proposed"):
        get_method("propsed")
