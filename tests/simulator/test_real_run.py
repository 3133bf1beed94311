"""The main job on a real model and real tasks, cut down to minutes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshtune.config.config_file import load_config
from meshtune.report.results_file import load_results
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

ROOT = Path(__file__).parents[2]
CUT = (
    "tasks=[piqa,arc_easy,social_i_qa]",
    "train.rounds=2",
    "train.steps=4",
    "router.prompts=48",
    "router.depth=0.3",
    "adapter.calibration_batches=2",
    "eval.questions=8",
    "eval.elsewhere=2",
    "methods=[bank,lora,hard_moe]",
)


@pytest.mark.slow
def test_three_devices_learn_from_each_other(
    tmp_path: Path, real_data: Path, real_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight steps on three tasks: below the frozen model everywhere, prompts mostly routed right, 6% of the bytes."""
    monkeypatch.setenv("MESHTUNE_MODELS", str(real_model.parent))
    monkeypatch.setenv("MESHTUNE_DATA", str(real_data))
    folder = run(load_config(ROOT / "configs" / "smollm2-tasks.yaml", CUT), tmp_path / "real", Silent())
    found = load_results(folder)
    for task in found.tasks:
        before, after = found.cell("frozen", task, "nll"), found.cell("bank", task, "nll")
        assert before is not None
        assert after is not None
        assert after.value < before.value, task
    first, last = found.average("frozen", "nll"), found.average("bank", "nll")
    assert first is not None
    assert last is not None
    assert last.value < first.value - 0.5
    assert found.header.router["whitened"].accuracy > 0.8
    methods = json.loads((folder / "results.json").read_text())["header"]["methods"]
    for key in ("parameters_updated", "payload_bytes"):
        assert methods["bank"][key] <= 0.06 * methods["lora"][key]
