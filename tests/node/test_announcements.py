"""Recipes of groups, and what a device says of itself: each part by hand, and the least that is worked out."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from letters import LAYERS, RANK, SIZES, announced, replace_codes
from meshtune.adapter.mask import join
from meshtune.adapter.sites import describe
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.node import announcements
from meshtune.node.announcements import announce, facts, recipes, to_messages, trains_sparse
from meshtune.routing.features import Features
from meshtune.routing.statistics import summarise
from meshtune.runs.events import Event, PhaseStarted, Progress
from meshtune.runs.observer import Silent
from meshtune.wire.positions import decode_positions

WIDE = [describe(0, "model.layers.0.mlp.up_proj", 96, 10, False), *LAYERS]  # 96 inputs beside 24

AS_OTHERS = {"projection": "group", "masks": "calibrated"}


def config(keys: str = "abc", rank: int = RANK, methods: tuple[str, ...] = ("bank",), **changes: Any) -> RunConfig:
    tasks = [{"task": "boolq", "key": key} for key in keys]
    adapter = {"rank": rank, **changes.pop("adapter", {})}
    return validate({"tasks": tasks, "methods": list(methods), "adapter": adapter, **changes}, "the test")


def test_each_group_has_a_block_of_its_own_in_the_order_of_keys() -> None:
    found = recipes(config("cab", federation_seed=8), WIDE)
    assert {key: recipe.block for key, recipe in found.items()} == {"a": 0, "b": 1, "c": 2}
    assert {(recipe.seed, recipe.kind, recipe.rank) for recipe in found.values()} == {(8, "orthogonal", RANK)}
    assert len(recipes(config("abcdef"), WIDE)) == 6  # 24 inputs, rank 4


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            config("abcdefg"),
            "7 task groups of 4 rows each need 28 rows, layer model.layers.0.self_attn.q_proj has 24 inputs: lower "
            "adapter.rank to 3 or set adapter.projection=gaussian",
        ),
        (
            config("abc", rank=25),
            "adapter.rank=25 is above the 24 inputs of layer model.layers.0.self_attn.q_proj: lower it to 8",
        ),
        (
            config("abc", rank=25, adapter={"projection": "gaussian"}),
            "adapter.rank=25 is above the 24 inputs of layer model.layers.0.self_attn.q_proj: lower it to 24",
        ),
        (
            config("abcdefghijklmnopqrstuvwxy", rank=25),
            "adapter.rank=25 is above the 24 inputs of layer model.layers.0.self_attn.q_proj: lower it to 24 and set "
            "adapter.projection=gaussian",
        ),
        (
            config("abcdefghijklmnopqrstuvwxy", rank=2),
            "25 task groups of 2 rows each need 50 rows, layer model.layers.0.self_attn.q_proj has 24 inputs: set "
            "adapter.projection=gaussian",
        ),
    ],
)
def test_where_blocks_run_out_the_remedy_is_told(settings: RunConfig, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        recipes(settings, WIDE)
    assert str(caught.value) == sentence


def test_a_block_per_device_takes_more_blocks_and_the_remedies_are_told() -> None:
    def devices(count: int, **changes: Any) -> RunConfig:
        return config("abc", methods=("bank", "paper"), devices={"count": count}, **changes)

    assert len(recipes(devices(6), WIDE)) == 3  # 24 inputs, rank 4
    with pytest.raises(UserError) as caught:
        recipes(devices(7), WIDE)
    assert str(caught.value) == (
        "7 devices with a projection of rank 4 each (paper with paper.projection=device) need 28 rows, layer "
        "model.layers.0.self_attn.q_proj has 24 inputs: lower adapter.rank to 3, or set adapter.projection=gaussian or "
        "paper.projection=group"
    )
    with pytest.raises(UserError, match=r"24 inputs: set adapter\.projection=gaussian or paper\.projection=group$"):
        recipes(devices(25, rank=2), WIDE)
    for settings in (
        devices(7, rank=3),
        devices(7, adapter={"projection": "gaussian"}),
        devices(7, paper={"projection": "group"}),
        config("abc", methods=("bank", "shared_b"), devices={"count": 7}),
    ):
        assert [recipe.block for recipe in recipes(settings, WIDE).values()] == [0, 1, 2]


def test_blocks_bound_only_sparse_experts_behind_orthogonal_projections() -> None:
    for settings in (
        config("abcdefg", adapter={"projection": "gaussian"}),
        config("abcdefg", methods=("lora", "central")),
    ):
        assert [recipe.block for recipe in recipes(settings, WIDE).values()] == list(range(7))
    with pytest.raises(UserError, match=r"^adapter.rank=25 is above the 24 inputs of layer .*: lower it to 8$"):
        recipes(config("abc", rank=25, methods=("lora",)), LAYERS)
    assert trains_sparse(config())
    assert trains_sparse(config(methods=("lora", "local")))
    assert not trains_sparse(config(methods=("lora", "central")))


def test_an_announcement_holds_its_mask_and_what_else_the_method_asks_for() -> None:
    own = announced(1)
    first, second, third = to_messages(own, replace_codes(get_method("bank")), LAYERS)
    for message in (first, second, third):
        assert (message.sender, message.source, message.round) == (1, 1, 0)
    assert (first.kind, first.meta["group"], first.meta["samples"]) == ("announce", "b", 20)
    packed = first.tensors["mask"].numpy().tobytes()
    assert np.array_equal(decode_positions(packed, sum(SIZES)), join(own.masks, SIZES))
    assert own.statistics is not None
    assert (second.kind, second.meta) == ("router", {"count": own.statistics.count})
    assert second.tensors.keys() == own.statistics.to_tensors().keys()
    for name, array in own.statistics.to_tensors().items():
        assert torch.equal(second.tensors[name], torch.tensor(array).bfloat16())
    assert (third.kind, third.meta) == ("router", {})
    assert own.codes is not None
    assert torch.equal(third.tensors["codes"], torch.from_numpy(own.codes).bfloat16())


def test_limits_are_said_unrounded() -> None:
    own = announced(1)
    assert own.statistics is not None
    own = replace(own, statistics=replace(own.statistics, limits=np.array([1.001, 2.002])))
    _, message = to_messages(own, get_method("bank"), LAYERS)
    assert torch.equal(message.tensors["limits"], torch.tensor([1.001, 2.002]))


def test_limits_are_distances_of_held_out_prompts_from_what_others_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncorrelated features under a shrinkage of 1: a sum of squares over rounded variances, by hand."""
    x, held = np.random.default_rng(0).standard_normal((2, 40, 3)) * [1.0, 5.0, 0.2]
    monkeypatch.setattr(announcements, "prompt_features", lambda *_: Features(held))
    settings = validate({"tasks": ["piqa"], "router": {"shrinkage": 1.0, "abstain": "hard", "false_refusals": 0.1}}, "")
    device = SimpleNamespace(aside=[1], held_prompts=list)
    said = summarise(x)
    base: Any = None
    found = announcements.limits_of(base, settings, device, said)  # type: ignore[arg-type]
    mean, variance = (torch.tensor(part).bfloat16().double().numpy() for part in (said.mean, said.diagonal))
    ordered = sorted((((held - mean) ** 2) / variance).sum(axis=1))
    np.testing.assert_allclose(found, [np.median(ordered[:37]), ordered[36]], rtol=1e-4)  # type: ignore[arg-type]
    device.aside = []
    assert announcements.limits_of(base, settings, device, said) is None  # type: ignore[arg-type]


def test_what_is_known_or_not_needed_is_not_said() -> None:
    own = announced(1)
    (told, *_) = to_messages(own, get_method("bank"), LAYERS, told=True)
    assert told.tensors == {}
    assert told.meta == facts(own, get_method("bank"), LAYERS)
    (only,) = to_messages(own, get_method("lora"), LAYERS)
    assert (only.tensors, only.meta) == ({}, {"group": "b", "samples": 20})
    bare = replace(own, statistics=None, codes=None)
    assert len(to_messages(bare, replace_codes(get_method("bank")), LAYERS)) == 1
    assert "voted" not in facts(own, get_method("lora"), LAYERS)
    assert facts(replace(own, voted=True), get_method("lora"), LAYERS)["voted"] is True


class Told(Silent):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[str, ...], float]]:
    """Announcements are made up; what was asked for is kept: device, for which methods, density."""
    found: list[tuple[int, tuple[str, ...], float]] = []

    def of(base: Any, settings: Any, data: Any, recipe: Any, methods: Any, density: float) -> Announcement:
        found.append((data.device, tuple(method.name for method in methods), density))
        return Announcement(data.device, data.group, data.samples, recipe, scores=np.ones(3))

    monkeypatch.setattr(announcements, "announcement_of", of)
    return found


def made(settings: RunConfig, observer: Any = None, **more: Any) -> list[Announcement]:
    base: Any = SimpleNamespace(adapters=SimpleNamespace(layers=LAYERS), dtype=torch.float32, device="cpu")
    devices: Any = [SimpleNamespace(device=d, group="ab"[d], samples=10 + d) for d in range(2)]
    methods = [get_method(name) for name in settings.methods]
    return announce(base, settings, devices, methods, observer or Silent(), **more)


def test_what_no_method_needs_is_not_worked_out(worked: list[Any]) -> None:
    told = Told()
    found = made(config("ab", methods=("lora", "central")), told)
    assert [(one.device, one.group, one.samples, one.masks) for one in found] == [(0, "a", 10, ()), (1, "b", 11, ())]
    assert worked == []
    assert told.events == []


def test_every_device_is_worked_out_with_its_own_density(worked: list[Any]) -> None:
    told = Told()
    found = made(config("ab", methods=("bank", "lora")), told, densities=(0.25, 0.5))
    assert worked == [(0, ("bank", "lora"), 0.25), (1, ("bank", "lora"), 0.5)]
    assert told.events == [PhaseStarted("prepare", 2), Progress("prepare", 1, 2), Progress("prepare", 2, 2)]
    assert [one.recipe.block for one in found] == [0, 1]
    assert all(one.scores is None for one in found)  # only who negotiates needs them later
    worked.clear()
    made(config("ab", methods=("paper",), paper=AS_OTHERS))
    share = config().adapter.share
    assert [density for *_, density in worked] == [share, share]
    negotiated = config("ab", methods=("paper",), paper=AS_OTHERS, radio={}, clusters={"masks": "negotiated"})
    assert all(one.scores is not None for one in made(negotiated))


@pytest.mark.parametrize(
    ("methods", "paper", "kept"),
    [
        (("paper", "lori", "lora"), {}, False),
        (("paper", "bank"), {}, True),
        (("paper", "shared_b"), {}, True),
        (("paper", "lori"), {"projection": "group", "masks": "calibrated"}, True),
    ],
)
def test_calibrated_masks_stay_only_if_a_method_trains_them(
    methods: tuple[str, ...], paper: dict[str, str], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters are formed for them where there are any, and the layers' counts are theirs in any case."""
    masks, counts = (np.arange(3), np.arange(5)), []

    def of(base: Any, settings: Any, data: Any, recipe: Any, methods: Any, density: float) -> Announcement:
        return Announcement(data.device, data.group, data.samples, recipe, masks)

    def search(*rest: Any) -> list[Any]:
        counts.append(rest[-1])
        return [{"paper": (np.array([7]),)}] * 2

    monkeypatch.setattr(announcements, "announcement_of", of)
    monkeypatch.setattr(announcements, "search_masks", search)
    found = made(config("ab", methods=methods, paper=paper))
    assert [one.masks for one in found] == [masks if kept else ()] * 2
    assert [one.others["paper"][0].tolist() for one in found] == [[7]] * 2
    assert counts == [[[3, 5], [3, 5]]]


def test_masks_that_are_searched_for_are_added_at_rates_that_are_settled_then(
    worked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    settled = config("ab", methods=("lori",), seed=77)

    def search(base: Any, settings: RunConfig, devices: Any, *rest: Any) -> list[Any]:
        seen.append((settings.seed, *rest[-2:]))
        return [{"lori": ("first",)}, {"lori": ("second",)}]

    def settle(own: Any) -> RunConfig:
        seen.append([one.device for one in own])
        return settled

    monkeypatch.setattr(announcements, "search_masks", search)
    found = made(config("ab", methods=("lori",)), densities=(0.25, 0.5), settle=settle)
    assert [one.others for one in found] == [{"lori": ("first",)}, {"lori": ("second",)}]
    assert seen == [[0, 1], (77, (0.25, 0.5), [[], []])]


def test_beside_a_common_part_masks_are_over_the_columns_that_it_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of rank 4 the own part has 3 columns if the common one takes a quarter; its rows are those of its own recipe."""
    draw, asked = np.random.default_rng(0), []
    scores = [draw.random(layer.outputs * 3) for layer in LAYERS]

    def scored(base: Any, projections: Any, *rest: Any) -> list[np.ndarray]:
        asked.append(projections.recipe)
        return scores

    seen = Features(draw.standard_normal((20, 6)))
    monkeypatch.setattr(announcements, "calibration_scores", scored)
    monkeypatch.setattr(announcements, "prompt_features", lambda *_: seen)
    base: Any = SimpleNamespace(dtype=torch.float32, device="cpu")
    settings = config("ab", methods=("proposed",), adapter={"common": 0.25, "density": 0.3, "budget": "uniform"})
    proposed = get_method("proposed")
    factory = ExpertFactory(LAYERS, settings.adapter, seed=0)
    for recipe in recipes(settings, LAYERS).values():
        data: Any = SimpleNamespace(device=0, group="a", samples=9, prompts=lambda _: [], calibration=lambda *_: [])
        own = announcements.announcement_of(base, settings, data, recipe, [proposed], 0.3)
        assert (own.recipe, own.masks, own.scores) == (recipe, (), None)
        assert list(own.others) == ["own"]
        for score, mask in zip(scores, own.others["own"], strict=True):
            assert mask.tolist() == np.sort(np.argsort(-score)[: round(0.3 * score.size)]).tolist()
        assert asked.pop(0) == replace(recipe, rank=3)
        said = proposed.announces(own, factory)
        assert (said.recipe, said.masks) == (replace(recipe, rank=3), own.others["own"])
    assert asked == []


def test_groups_with_a_common_part_need_rows_for_their_own_part_only() -> None:
    """Of 24 inputs seven groups have 3 each, so ranks to 7 fit if 4 of them belong to the common part."""
    half: dict[str, Any] = {"methods": ("proposed",), "adapter": {"common": 0.5}}
    assert len(recipes(config("abcdef", **half), LAYERS)) == 6
    assert [one.block for one in recipes(config("abcdefg", rank=7, **half), LAYERS).values()] == list(range(7))
    with pytest.raises(
        UserError,
        match=r"^7 task groups of 4 rows each need 28 rows, layer .* has 24 inputs: lower adapter.rank to 7 or ",
    ):
        recipes(config("abcdefg", rank=8, **half), LAYERS)
    with pytest.raises(UserError, match=r"^7 task groups of 4 rows each .* lower adapter.rank to 3 or "):
        recipes(config("abcdefg", methods=("proposed", "bank"), adapter={"common": 0.5}), LAYERS)
    with pytest.raises(UserError, match="leaves no row for a common expert"):
        recipes(config("ab", rank=1, methods=("proposed",)), LAYERS)
