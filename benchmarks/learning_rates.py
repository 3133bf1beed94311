"""Each method's learning rate from one grid, on training rows set aside; never on test rows.

    python benchmarks/learning_rates.py configs/smollm2-tasks.yaml --out runs/rates
    python benchmarks/learning_rates.py src/meshtune/demo.yaml --out runs/demo-rates --set train.rounds=1

Runs the configuration at every rate of the grid, scores the rows that were cut from the training split, and prints the
task-averaged NLL of each method at each rate; --set cuts tasks, rounds, steps or questions. Every rate is a run of its
own below --out, so the script goes on where it was stopped. Methods that train alike (proposed as hard_moe,
single_cluster and shared_b as paper) need not be asked for twice; a router's choice is left out by asking hard_moe.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from meshtune.engine.config import load_config
from meshtune.engine.observer import Silent
from meshtune.engine.run import run
from meshtune.errors import DivergedError

GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
METHODS = (
    "hard_moe", "lora", "hard_moe_lora", "shared_b", "paper_masked", "lori", "lori_uniform", "ffa", "fpft", "central"
)  # fmt: skip


def averages(folder: Path, config: Path, settings: list[str], methods: list[str]) -> dict[str, float]:
    """Return every method's NLL, mean over devices and tasks; infinite where it diverged, alone as beside others."""
    if not (folder / "results.json").is_file():
        try:
            run(load_config(config, [f"methods=[{','.join(methods)}]", *settings]), folder, Silent())
        except DivergedError:
            if len(methods) == 1:
                return {methods[0]: math.inf}
            alone = [averages(folder / method, config, settings, [method]) for method in methods]
            return {method: value for found in alone for method, value in found.items()}
    rows = json.loads((folder / "results.json").read_text())["rows"]
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["metric"] == "nll":
            found.setdefault(row["method"], []).append(row["value"])
    return {method: float(np.mean(values)) for method, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--rates", type=float, nargs="+", default=list(GRID))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    args = parser.parse_args()
    table: dict[float, dict[str, float]] = {}
    for rate in args.rates:
        settings = [
            f"train.lr={rate}", f"train.lora_lr={rate}",
            f"train.full_lr={rate}", "train.rates={}", "eval.split=validation", "eval.write=false",
            *args.settings,
        ]  # fmt: skip
        table[rate] = averages(args.out / f"{rate:g}", args.config, settings, args.methods)
        print(f"{rate:8g}  " + "  ".join(f"{m} {v:.4f}" for m, v in table[rate].items()), flush=True)
    best = {method: min(table, key=lambda rate: table[rate][method]) for method in args.methods}
    print("best: rates: {" + ", ".join(f"{method}: {rate:g}" for method, rate in best.items()) + "}")


if __name__ == "__main__":
    main()
