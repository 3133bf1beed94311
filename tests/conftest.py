"""What many tests share: a tiny random base, questions made up on the spot, and where real data may lie."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Tiny models run fastest on one thread, and a machine that tests several things at once stays usable. Processes that
# tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is found out about tiny models out of the user's cache."""
    before = os.environ.get("MESHTUNE_CACHE")
    os.environ["MESHTUNE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["MESHTUNE_CACHE"]
    else:
        os.environ["MESHTUNE_CACHE"] = before


SETTINGS: dict[str, Any] = {
    "tasks": ["boolq", "arc_easy", "piqa"],
    "validation": 4,
    "adapter": {"rank": 4, "entropy_tokens": 64, "calibration_batches": 2},
    "router": {"prompts": 12, "sketch": 4, "also": ["top1", "cosine"]},
    "train": {"rounds": 2, "steps": 2, "batch": 2, "warmup": 0, "lr": 3e-3, "lora_lr": 1e-3, "core_lr": 1e-2},
    "eval": {"questions": 4, "elsewhere": 2},
    "methods": ["bank", "lora", "hard_moe", "hard_moe_lora", "local"],
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three small tasks in their Hugging Face schemas."""
    folder = tmp_path_factory.mktemp("world")
    rows: dict[str, Callable[[int], dict[str, Any]]] = {
        "boolq": lambda i: {
            "question": f"is {i} even",
            "passage": f"Item {i} of the list.",
            "answer": i % 2 == 0,
        },
        "arc_easy": lambda i: {
            "id": f"q{i}",
            "question": f"What follows {i}?",
            "choices": {"text": [str(i + 1), str(i + 2), str(i + 5)], "label": ["A", "B", "C"]},
            "answerKey": "A",
        },
        "piqa": lambda i: {
            "goal": f"Cut board {i}",
            "sol1": f"use saw {i}",
            "sol2": f"use a spoon {i}",
            "label": 0,
        },
    }
    for task, row in rows.items():
        (folder / task).mkdir()
        for split, numbers in {"train": range(30), "test": range(100, 112)}.items():
            lines = [json.dumps(row(i)) for i in numbers]
            (folder / task / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def whole_settings(world: Path) -> dict[str, Any]:
    """A configuration of seconds: three tasks, the tiny random base. Not to be changed."""
    return {**SETTINGS, "data": str(world)}


@pytest.fixture
def settings(whole_settings: dict[str, Any]) -> dict[str, Any]:
    """The same, free to be changed."""
    copied: dict[str, Any] = json.loads(json.dumps(whole_settings))
    return copied


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real tasks."""
    found = os.environ.get("MESHTUNE_DATA", "")
    if not found or not Path(found).is_dir():
        pytest.skip("MESHTUNE_DATA names no folder of real tasks")
    return Path(found)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The folder of SmolLM2-135M-Instruct."""
    found = os.environ.get("MESHTUNE_MODELS", "")
    if not found or not (Path(found) / "smollm2").is_dir():
        pytest.skip("MESHTUNE_MODELS names no folder with smollm2/")
    return Path(found) / "smollm2"


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 600 KiB: room for a small run's preparation and a round or so."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, timeout=30).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)
