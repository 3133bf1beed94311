"""Where averaging conflicts: cosines against dense updates, swapped parts, and a whole measurement of a tiny run."""

from __future__ import annotations

import json
import math
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federations import LAYERS, federation
from meshtune.adapter.expert import Expert, LoraExpert
from meshtune.adapter.sites import describe
from meshtune.methods.registry import get_method
from script_modules import load_script

ROOT = Path(__file__).parents[2]
TINY = """
model: {name: tiny-random}
tasks: [sums, animals]
devices: {count: 3}
train: {rounds: 2, steps: 1, batch: 2, lr: 1e-2, lora_lr: 1e-2, max_tokens: 64}
router: {prompts: 8}
adapter: {rank: 4, calibration_batches: 1, entropy_tokens: 16}
validation: 4
"""


@pytest.fixture(scope="module")
def measures() -> Any:
    return load_script(ROOT / "benchmarks" / "conflict_measures.py")


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script(ROOT / "benchmarks" / "conflicts.py")


def dense(expert: Expert) -> np.ndarray:
    return np.concatenate([expert.delta(layer).double().numpy().ravel() for layer in expert.layers])


def loras(count: int) -> list[LoraExpert]:
    draw = torch.Generator().manual_seed(1)
    fresh = LoraExpert(LAYERS, 3, 0.5, seed=2)
    return [fresh.with_values(torch.randn(fresh.count, generator=draw)) for _ in range(count)]


def test_cosines_are_those_of_the_dense_updates_and_of_their_changes(measures: Any) -> None:
    experts, start = loras(3), loras(4)[3]
    rows = np.stack([dense(one) for one in experts])
    for starts, vectors in ((None, rows), ([start] * 3, rows - dense(start))):
        found = measures.cosines(measures.grams(experts, starts), lambda name: "all")["all"]
        np.testing.assert_allclose(found, _cosines(vectors), atol=1e-6)
    layer = LAYERS[1]
    alone = np.stack([one.delta(layer).double().numpy().ravel() for one in experts])
    by_layer = measures.cosines(measures.grams(experts), lambda name: name)
    np.testing.assert_allclose(by_layer[layer.name], _cosines(alone), atol=1e-6)


def _cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def test_updates_after_orthogonal_projections_have_no_cosine_and_untrained_ones_none(measures: Any) -> None:
    members, _ = federation(get_method("local"))
    experts = [one.expert.with_values(torch.linspace(1, 2, one.expert.count)) for one in members]
    found = measures.cosines(measures.grams(experts), lambda name: "all")["all"]
    for (i, one), (j, other) in combinations(enumerate(members), 2):
        assert (abs(found[i, j]) < 1e-6) == (one.own.group != other.own.group)
    untrained = measures.cosines(measures.grams([one.expert for one in members]), lambda name: "all")["all"]
    assert np.isnan(untrained).all()


def test_only_the_chosen_layers_are_swapped(measures: Any) -> None:
    sparse = [one.expert for one in federation(get_method("hard_moe"))[0][:1]]
    for own in (loras(1)[0], *sparse):
        other = own.with_values(own.values + 1)
        mixed = measures.swapped(own, other, lambda layer: layer.index == 1)
        for layer, from_ in zip(LAYERS, (own, other), strict=True):
            for part, expected in zip(mixed.pair(layer), from_.pair(layer), strict=True):
                assert torch.equal(part, expected)


def test_layers_have_a_kind_and_a_third(measures: Any) -> None:
    names = [f"model.layers.{i}.{rest}" for i in range(6) for rest in ("self_attn.q_proj", "mlp.down_proj")]
    assert [measures.kind_of(name) for name in names[:2]] == ["q", "down"]
    assert [measures.third_of(name, 6) for name in names[::4]] == ["first", "middle", "last"]
    assert measures.block_of(describe(0, "head", 4, 4, False).name) == 0


@pytest.fixture(scope="module")
def made(script: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A run of a second, and what is measured of it."""
    folder = tmp_path_factory.mktemp("conflicts")
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "RESULTS", folder / "conflicts.json")
        call(script, patch, "--config", str(folder / "tiny.yaml"), "--out", str(folder / "runs"), *METHODS)
        found = script.records()
        patch.setattr(script, "measured", None)  # nothing is measured twice
        call(script, patch, "--runs", str(folder / "runs" / "tiny" / "seed-0"), "--name", "tiny")
        assert script.records() == found
    return folder / "runs" / "tiny" / "seed-0", found


METHODS = ("--methods", "lora", "local", "--rows", "2")


def call(script: Any, patch: pytest.MonkeyPatch, *words: str) -> None:
    patch.setattr(sys, "argv", ["conflicts.py", *words])
    script.main()


def test_what_was_trained_is_found_in_the_checkpoint(script: Any, made: tuple[Path, list[dict[str, Any]]]) -> None:
    """The mean of what devices published is what they went on with; it began with the mean of the round before."""
    inputs, found = script.opened(made[0])
    weights = torch.tensor([float(data.samples) for data in inputs.devices])
    lora = found["lora"]
    published = torch.stack([one.values for one in lora.trained])
    assert torch.equal(published, published.bfloat16().float())
    mean = (weights[:, None] * published).sum(0) / weights.sum()
    for start, mixed in zip(lora.starts, lora.mixed, strict=True):
        torch.testing.assert_close(mixed.values, mean)
        assert torch.equal(start.values, lora.starts[0].values)
        assert not torch.equal(start.values, mixed.values)


def test_an_average_is_its_start_and_the_shares_of_its_tasks(
    script: Any, made: tuple[Path, list[dict[str, Any]]]
) -> None:
    inputs, found = script.opened(made[0])
    lora, first = found["lora"], {"sums": 0, "animals": 1}
    shares = script.diluted(inputs.devices, lora)
    start = lora.starts[0].values
    parts = [shares[device].values - start for device in first.values()]
    torch.testing.assert_close(start + parts[0] + parts[1], lora.mixed[0].values)
    weight = inputs.devices[1].samples / sum(data.samples for data in inputs.devices)
    torch.testing.assert_close(parts[1], weight * (lora.trained[1].values - start))
    assert script.diluted(inputs.devices, found["local"]) is None


def test_a_run_is_measured_by_pair_task_and_part(script: Any, made: tuple[Path, list[dict[str, Any]]]) -> None:
    found = {one["method"]: one for one in made[1]}
    assert list(found) == ["local", "lora"]
    for one in found.values():
        assert one["devices"] == ["sums", "animals", "sums"]
        assert set(one["whole"]) == {"all", "q", "k", "v", "o", "gate", "up", "down", "first", "middle", "last"}
        assert {len(each) for each in one["whole"].values()} == {3}
        assert [set(each) for each in one["trained"]] == [{"sums", "animals"}] * 3
        assert all(math.isfinite(value) for each in one["swaps"].values() for value in each)
    assert found["local"]["whole"]["all"][0] == found["local"]["whole"]["all"][2] == 0
    assert found["local"]["mixed"][0]["sums"] == pytest.approx(found["local"]["trained"][0]["sums"], abs=0.02)
    assert len({one["sums"] for one in found["lora"]["mixed"]}) == 1  # over a full graph all hold the same average


def test_tables_average_over_seeds_and_pairs(script: Any) -> None:
    parts = {part: [0.5, -0.2, 0.0] for part in ("all", "q")}
    shared = {"devices": ["a", "a", "b"], "frozen": {"a": 3.0, "b": 5.0}, "whole": parts, "method": "lora"}
    records = [
        {**shared, "cosines": {"all": [0.5, -0.2, -0.4], "q": [0.1, 0.3, shift]},
         "trained": [{"a": 1.0, "b": 4.0}, {"a": 2.0, "b": 4.0}, {"a": 3.0, "b": 1.0}],
         "mixed": [{"a": 1.5 + shift, "b": 2.0}] * 3, "diluted": [1.25, 2.25, 2.0],
         "swaps": {"q": [1.0, 2.0 + shift, 1.0]}}
        for shift in (0.0, 1.0)
    ]  # fmt: skip
    shown = script.tables(records)
    assert "| all | +0.50 ± 0.00 | -0.30 ± 0.00 |" in shown["layers"]
    assert "| q | +0.10 ± 0.00 | +0.40 ± 3.18 |" in shown["layers"]  # t of one degree of freedom: 12.71 x 0.35 / sqrt 2
    assert "| all, whole update | +0.50 ± 0.00 | -0.10 ± 0.00 |" in shown["layers"]
    assert "| b | -0.30 ± 0.00 | - |" in shown["pairs"]
    one = script.tables(records[:1])
    assert one["losses"].splitlines()[2] == "| `lora` | 1.25 | 1.75 | +0.50 | b +1.00 | 3.50 | 1.75 | -1.75 |"
    assert one["tasks"].splitlines()[2:4] == [
        "| a | 3.00 | 1.50 | 1.75 | 1.50 | +0.25 | -0.25 |",
        "| b | 5.00 | 1.00 | 2.00 | 2.00 | +1.00 | +0.00 |",
    ]
    assert one["swaps"].splitlines()[2:] == ["| q | +0.00 | +0.00 | +0.00 |", "| all | +0.00 | +1.00 | +0.33 |"]
    assert one["foretold"].splitlines()[2] == "| `lora` | - | - |"  # two pairs


@pytest.mark.parametrize("section", ["layers", "pairs", "losses", "tasks", "swaps", "foretold"])
def test_the_page_has_the_tables_of_what_was_measured(script: Any, section: str) -> None:
    page = (ROOT / "docs" / "conflicts.md").read_text(encoding="utf-8")
    records = [one for one in json.loads(script.RESULTS.read_text("utf-8")) if one["name"] == "embedded-paper"]
    shown = page.split(f"<!-- {section} -->\n")[1].split(f"<!-- /{section} -->")[0]
    assert shown.strip() == script.tables(records)[section]
