"""The embedded base and the demo's own claims: small, ignorant of the tasks, quickly taught, and better together."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
import torch

import meshtune
from meshtune.adapter.blocks import capacity
from meshtune.config.demo_config import demo_config
from meshtune.config.learning_config import EMBEDDED, ModelConfig
from meshtune.model.loading import load
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from meshtune.tasks.registry import get_task

ASSETS = Path(meshtune.__file__).parent / "assets" / "base"
TASKS = ("claims", "sequel", "sums", "crowds", "animals", "machines")


def accuracy(folder: Path, method: str, own: bool = False) -> dict[str, float]:
    """Return a method's accuracy by task, mean over devices, or over those that learnt the task."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    groups = results["header"]["groups"]
    found: dict[str, list[float]] = {}
    for row in results["rows"]:
        if row["metric"] == "acc" and row["method"] == method and (not own or row["device"] in groups[row["task"]]):
            found.setdefault(row["task"], []).append(row["value"])
    return {task: fmean(values) for task, values in found.items()}


def test_the_embedded_base_fits_in_the_wheel_and_says_what_it_is() -> None:
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) < 12 * 2**20
    card = (ASSETS / "CARD.md").read_text(encoding="utf-8")
    for said in ("seed 0", "tokens seen", "held-out loss", "scripts/pretrain_base.py", "Apache-2.0"):
        assert said in card


def test_the_embedded_base_is_a_small_qwen2_with_room_for_fifteen_groups_of_the_default_rank() -> None:
    base = load(ModelConfig())
    assert base.name == EMBEDDED
    assert base.model.config.model_type == "qwen2"
    assert all(p.dtype == torch.float32 for p in base.model.parameters())
    assert capacity([layer.inputs for layer in base.adapters.layers], 16) >= 15
    assert base.tokenizer.eos_token_id is not None


def test_the_embedded_base_loads_in_a_moment() -> None:
    load(ModelConfig())  # whatever is imported on first use
    started = time.process_time()
    load(ModelConfig())
    assert time.process_time() - started < 5  # a second on a machine at rest: benchmarks measure it


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three devices with three tasks, half of the demo's steps."""
    settings = [
        "tasks=[claims, animals, crowds]", "devices.count=3", "methods=[bank, local]", "train.rounds=2",
        "train.steps=20", "eval.questions=40", "router.prompts=32",
    ]  # fmt: skip
    return run(demo_config(settings), tmp_path_factory.mktemp("taught") / "run", Silent())


def test_the_frozen_base_does_not_know_the_tasks(taught: Path) -> None:
    frozen = accuracy(taught, "frozen")
    assert abs(frozen["claims"] - 0.5) <= 0.25  # 40 questions
    assert frozen["animals"] < 0.3
    assert frozen["crowds"] < 0.3


def test_devices_learn_their_task_and_answer_each_others_after_the_exchange(taught: Path) -> None:
    alone, own, together = accuracy(taught, "local"), accuracy(taught, "local", own=True), accuracy(taught, "bank")
    for task in ("animals", "crowds"):
        assert own[task] >= 0.4
        assert together[task] >= own[task] - 0.1  # every device, not only the one that learnt it
        assert together[task] >= alone[task] + 0.2
    assert fmean(together.values()) > fmean(alone.values()) + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_the_demo_shows_what_it_says(seed: int, tmp_path: Path) -> None:
    folder = run(demo_config([f"seed={seed}"]), tmp_path / "demo", Silent())
    frozen, found = accuracy(folder, "frozen"), accuracy(folder, "proposed")
    lora, oracle = fmean(accuracy(folder, "lora").values()), fmean(accuracy(folder, "oracle").values())
    for task in TASKS:
        kind = get_task(task)
        assert frozen[task] < 0.3 or abs(frozen[task] - kind.chance) <= 0.2  # 50 questions
        assert found[task] >= 0.6
    assert fmean(found.values()) >= 0.8
    assert fmean(found.values()) >= lora + 0.2
    assert fmean(found.values()) >= oracle - 0.02


def test_the_demo_has_ten_devices_and_some_tasks_on_two() -> None:
    owners = Counter(task.key for task in demo_config().device_tasks)
    assert set(owners) == set(TASKS)
    assert sum(owners.values()) == 10
    assert set(owners.values()) == {1, 2}
