"""Four devices under one method, two of one group: for tests of methods without a base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, places, sizes
from meshtune.methods.base import Method, Prompts
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader, WhitenedRouter
from meshtune.routing.statistics import summarise

RANK, COMMON = 2, 1

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
    count = 3 + recipe.block  # the groups' own parts differ in size
    found["own"] = tuple(np.sort(draw.choice(size, count, replace=False)) for size in sizes(LAYERS, RANK - COMMON))
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
        values, turn = member.expert.values.clone(), member.expert.turn(version)
        values[turn] += step.float()[turn]
        member.expert = member.expert.with_values(values)
        published[member.device] = Update(member.device, version, values.clone())
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


def digests(name: str) -> list[tuple[str, str]]:
    """Return the groups and digests of the experts that a device of the method ``name`` holds after a round."""
    method = get_method(name)
    members, factory = federation(method)
    play(method, members, factory)
    return [(group, expert.digest) for group, _, expert in method.experts(members[0], factory)]
