"""The file that people copy: it runs on one's own folder with any base, and knows nothing of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from meshtune.config.config_file import load_config
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from whole_runs import Watch, header, own_nll

FILE = Path(__file__).parents[2] / "configs" / "my-data.yaml"
SMALL = ["router.prompts=8", "router.also=[]", "adapter.calibration_batches=1", "adapter.entropy_tokens=16"]


def test_the_file_leaves_what_depends_on_the_base_to_defaults() -> None:
    tree = yaml.safe_load(FILE.read_text())
    assert set(tree) == {"model", "data", "tasks", "train", "eval"}
    assert set(tree["train"]) <= {"rounds", "steps"}
    config = load_config(FILE)
    assert (config.train.lr, config.train.lora_lr, config.radio) == ("auto", "auto", None)
    lines = [line.removeprefix("# ") for line in FILE.read_text().splitlines()]
    commented = [line for line in lines if line.startswith(("devices:", "methods:", "radio:"))]
    assert len(commented) == 3
    more = yaml.safe_load("\n".join(commented))
    assert load_config(FILE, [f"{key}={value}" for key, value in more.items()]).radio is not None


def test_it_runs_on_a_folder_of_ones_own(tmp_path: Path, world: Path) -> None:
    settings = ["model.name=tiny-random", f"data={world}", "validation=4", "eval.questions=3", *SMALL]
    watch = Watch()
    folder = run(load_config(FILE, [*settings, "train.steps=2"]), tmp_path / "mine", watch)
    assert any(text.startswith("learning rates found: train.lr=") for text in watch.texts)
    assert len(header(folder)["groups"]) == 3


@pytest.mark.slow
def test_a_small_model_is_better_than_before_at_every_device(tmp_path: Path, real_model: Path, real_data: Path) -> None:
    """Sixteen steps on two short tasks: the recipe of the README, as small as it may be."""
    settings = [
        f"model.name={real_model}", f"data={real_data}", "tasks=[piqa, arc_easy]", "methods=[local]",
        "eval.questions=20", "train.rows=60", "adapter.budget=uniform", *SMALL,
    ]  # fmt: skip
    watch = Watch()
    folder = run(load_config(FILE, settings), tmp_path / "real", watch)
    before, after = own_nll(folder, "frozen"), own_nll(folder, "local")
    assert all(after[device] < before[device] for device in (0, 1))
    assert not [text for text in watch.texts if "worse than the frozen model" in text]
    [event] = [event for event in RunStore.open(folder).events() if event["event"] == "rates"]
    assert 1e-3 < event["sparse"]["rate"] < 8e-3  # within 5% of the best of the grid: docs/configuration.md
