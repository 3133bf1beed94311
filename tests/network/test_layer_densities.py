"""Densities of layers before anything is trained: equal ones by hand, and a run's own from its file."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshtune.adapter.sites import describe, sizes
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.model.skeleton import skeleton
from meshtune.network.layer_densities import uniform
from meshtune.planning.planner import plan
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from meshtune.topology.collision import measured
from plans import SQUARE

LAYERS = [
    describe(at, f"model.layers.{at}.self_attn.q_proj", 24, outputs, False) for at, outputs in enumerate((10, 30))
]
"""Of 40 and 120 positions of B at rank 4."""


def settings_of(**changes: Any) -> RunConfig:
    tree = {"adapter": {"rank": 4, "budget": "uniform"}, "clusters": {"rate": "expected"}, **changes}
    return validate({"tasks": ["boolq"], "devices": {"count": 3}, **tree}, "the test")


def test_equal_densities_by_hand() -> None:
    found = uniform(settings_of(), LAYERS, (0.25, 0.25, 0.25))
    assert found.counts.tolist() == [[10, 30]] * 3
    assert found.sizes.tolist() == [40, 120]
    assert (found.density, found.rate, found.notes) == (0.25, "expected", ())
    assert (found.use.announced / found.use.whole).tolist() == pytest.approx(np.full((3, 2), 0.25), abs=1e-5)
    assert found.use.weights.tolist() == [40, 120]


def test_each_device_has_its_own_density_and_the_largest_is_planned_with() -> None:
    found = uniform(settings_of(), LAYERS, (0.25, 0.5, 0.25))
    assert found.counts.tolist() == [[10, 30], [20, 60], [10, 30]]
    shares = [[0.25, 0.25], [0.5, 0.5], [0.25, 0.25]]
    assert (found.use.announced / found.use.whole).tolist() == pytest.approx(np.array(shares), abs=1e-5)
    assert found.density == 0.5


def test_without_masks_every_position_collides_whatever_is_trained() -> None:
    found = uniform(settings_of(), LAYERS, (0.25,) * 3, masked=False)
    assert (found.use.announced == found.use.whole).all()
    assert found.use.announced.shape == (3, 2)
    assert found.density == 1
    assert found.counts.tolist() == [[10, 30]] * 3
    assert found.notes == (
        "every position is trained, so any two devices collide everywhere: range and power alone decide clusters",
    )
    assert uniform(settings_of(), LAYERS, (1.0,) * 3).notes == (
        "every position is trained, so any two devices collide everywhere: only clusters.s_max=1 lets them form "
        "clusters",
    )


def test_what_a_plan_cannot_know_of_masks_is_said() -> None:
    blind = settings_of(adapter={"rank": 4, "budget": "entropy"}, clusters={"rate": "rows"})
    same, rows = uniform(blind, LAYERS, (0.25,) * 3).notes
    assert same == (
        "adapter.budget=entropy needs weights and prompts, so every layer is taken to have density 0.25: "
        "`density_from` RUN takes a run's own"
    )
    assert rows == (
        "clusters.rate=rows needs masks, so collision rates are expected from densities alone (eq. 19); real masks "
        "concentrate on the same output rows and collide about 3 times as often in pairs"
    )
    assert "its device's density" in uniform(blind, LAYERS, (0.25, 0.5, 0.25)).notes[0]


@pytest.fixture(scope="module")
def finished(whole_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    """A run of the tiny random base, and its settings with places."""
    tree = {**whole_settings, "model": {"name": "tiny-random"}, "train": {**whole_settings["train"], "rounds": 1}}
    folder = tmp_path_factory.mktemp("plan") / "run"
    run(validate({**tree, "methods": ["bank"]}, "the test"), folder, Silent())
    where = {"positions": SQUARE[:3]}
    return validate({**tree, "methods": ["bank", "lora"], "places": where, "radio": {}}, "the test"), folder


def masks_of(folder: Path, config: RunConfig) -> list[list[np.ndarray]]:
    """Read the run's masks straight from its file."""
    from safetensors.numpy import load_file

    room = sizes(skeleton(config.model).layers, config.adapter.rank)
    edges = np.cumsum([0, *room])
    tensors = load_file(folder / "prepare.safetensors")
    found = []
    for device in range(3):
        used = np.flatnonzero(np.unpackbits(tensors[f"{device}.mask.calibrated"]))
        found.append([used[(used >= a) & (used < b)] - a for a, b in pairwise(edges)])
    return found


@pytest.mark.parametrize("rate", ["expected", "rows"])
def test_densities_come_from_a_runs_masks(finished: tuple[RunConfig, Path], rate: str) -> None:
    settings, folder = finished
    chosen = settings.model_copy(update={"clusters": settings.clusters.model_copy(update={"rate": rate, "s_max": 1.0})})
    found = plan(chosen, folder)
    layers, r = skeleton(settings.model).layers, settings.adapter.rank
    masks, room = masks_of(folder, settings), sizes(layers, r)
    assert found.rate == rate
    assert found.values == sum(part.size for part in masks[0])
    cells = []  # of every layer or row: used by each device, positions
    for layer, spec in enumerate(layers):
        if rate == "expected":
            cells.append(([mask[layer].size for mask in masks], room[layer]))
        else:
            per_row = [np.bincount(mask[layer] // r, minlength=spec.outputs) for mask in masks]
            cells += [([int(counts[row]) for counts in per_row], r) for row in range(spec.outputs)]
    (cluster,) = found.clusters
    wanted = 0.0
    for used, size in cells:
        s = [count / size for count in used]
        none = math.prod(1 - share for share in s)
        once = sum(s[i] * math.prod(1 - s[j] for j in range(3) if j != i) for i in range(3))
        wanted += (1 - none - once) * size / sum(room)
    assert cluster.rate == pytest.approx(wanted, abs=1e-4)
    assert 0 < measured(masks, room) < 1
    assert any("densities are those of the masks in" in note for note in found.notes)
    assert not any("`density_from`" in note for note in found.notes)
    assert not any("masks are taken in order" in note for note in found.notes)
    other = chosen.model_copy(update={"tasks": chosen.tasks[::-1]})
    assert any("device 0 has the task piqa, its mask is one of boolq" in note for note in plan(other, folder).notes)


def test_a_runs_own_counts_are_cut_to_what_negotiating_allows(finished: tuple[RunConfig, Path]) -> None:
    settings, folder = finished
    wanted = settings.clusters.model_copy(update={"masks": "negotiated", "s_max": 1.0})
    found = plan(settings.model_copy(update={"clusters": wanted, "methods": ("shared_b",)}), folder)
    room = sizes(skeleton(settings.model).layers, settings.adapter.rank)
    # Three groups in one cluster: a third of every layer each. Some layers want more, and the largest change is a cut.
    cuts = [
        (part.size - size // 3) / size
        for mask in masks_of(folder, settings)
        for part, size in zip(mask, room, strict=True)
    ]
    (note,) = [note for note in found.notes if note.startswith("clusters.masks=negotiated")]
    assert len(found.clusters) == 1
    assert max(cuts) > 0
    assert f"which changes a layer's density by up to {max(cuts):.3g} and no total;" in note


def test_a_run_that_does_not_fit_is_one_sentence(finished: tuple[RunConfig, Path], tmp_path: Path) -> None:
    settings, folder = finished
    for update, words in (
        ({"adapter": settings.adapter.model_copy(update={"rank": 8})}, "of rank 4, the plan's adapter.rank is 8"),
        ({"model": settings.model.model_copy(update={"name": "smollm2-135m"})}, "plan with the run's model"),
        ({"methods": ("lori",)}, "it has no masks of lori"),
        ({"methods": ("lora",)}, "lora trains every position"),
    ):
        with pytest.raises(UserError, match=words):
            plan(settings.model_copy(update=update), folder)
    more = settings.model_copy(update={"devices": settings.devices.model_copy(update={"count": 4})})
    spread = more.model_copy(update={"places": more.places.model_copy(update={"positions": SQUARE})})
    with pytest.raises(UserError, match=r"it has 3 devices, the plan 4: plan with the setting `devices\.count=3`"):
        plan(spread, folder)
    with pytest.raises(UserError, match="holds no run"):
        plan(settings, tmp_path)
