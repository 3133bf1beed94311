"""The script behind "projections that know the data": the best A by hand, and a whole run of it on a random model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from script_modules import load_script

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "projection_gain.py"
TINY = """
model: {name: tiny-random}
tasks: [sums, animals, crowds]
validation: 4
train: {rounds: 1, steps: 2, batch: 2, rows: 4, lr: 3e-2, lora_lr: 1e-3, max_tokens: 64}
router: {prompts: 4, sketch: 2}
adapter: {rank: 4, calibration_batches: 1, entropy_tokens: 16}
eval: {questions: 2}
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


def test_the_best_directions_are_worked_out_by_hand(script: ModuleType) -> None:
    """Of four directions the others have power 4, 3, 0.1 and 0.2, the group itself 1, 1, 0.01 and 1."""
    others, own = np.diag([4.0, 3.0, 0.1, 0.2]), np.diag([1.0, 1.0, 0.01, 1.0])
    np.testing.assert_allclose(np.abs(script.refined("osrm", own, others, 2)), np.eye(4)[[2, 3]])
    np.testing.assert_allclose(np.abs(script.refined("contrast", own, others, 1)), np.eye(4)[[3]], atol=1e-12)


def test_a_run_says_what_passes_and_trains_after_every_kind(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    words = ["--config", str(tmp_path / "tiny.yaml"), "--tokens", "64", "--train", str(tmp_path / "runs")]
    words += ["--methods", "hard_moe", "--json", str(tmp_path / "found.json")]
    for kinds in (script.KINDS, ("seed",)):  # the second time a row takes the place of an equal one
        monkeypatch.setattr(sys, "argv", ["projection_gain.py", *words, "--kinds", *kinds])
        script.main()
    assert len(json.loads((tmp_path / "found.json").read_text())) == len(script.KINDS)
    rows = {row["kind"]: row for row in json.loads((tmp_path / "found.json").read_text())}
    assert set(rows) == set(script.KINDS)
    for kind, row in rows.items():
        assert set(row["sites"]) == {"attn_in", "attn_out", "mlp_in", "mlp_out"}
        for found in row["sites"].values():
            assert 0 < found["others"] < 1
        assert set(row["nll"]) == {"frozen", "hard_moe"}
        assert (row["nll"] == rows["seed"]["nll"]) == (kind == "seed")
    for site in ("attn_out", "mlp_out"):  # nothing is announced about what they read
        assert rows["announced-contrast"]["sites"][site] == rows["seed"]["sites"][site]
    for site in ("attn_in", "mlp_in"):
        assert rows["osrm"]["sites"][site]["others"] < rows["seed"]["sites"][site]["others"]
