"""Each method's learning rate from one grid, on training rows set aside; never on test rows.

    python benchmarks/learning_rates.py configs/smollm2-tasks.yaml --out runs/rates
    python benchmarks/learning_rates.py src/meshtune/demo.yaml --out runs/demo-rates --set train.rounds=1
    python benchmarks/learning_rates.py configs/my-data.yaml --out runs/mine --methods local --found --own

Runs the configuration at every rate of the grid, scores the rows that were cut from the training split, and prints the
task-averaged NLL of each method at each rate; --set cuts tasks, rounds, steps or questions. Every rate is a run of its
own below --out, so the script goes on where it was stopped. Methods that train alike (bank as hard_moe,
single_cluster and shared_b as paper) need not be asked for twice; a router's choice is left out by asking hard_moe.

With --found the configuration also runs with the rates that it finds itself (auto), and each method's NLL there is set
beside the best of the grid; --own counts each device's own task only; --seeds repeats all of it.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from meshtune.config.config_file import load_config
from meshtune.errors import DivergedError
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
METHODS = (
    "hard_moe", "lora", "hard_moe_lora", "shared_b", "paper_masked", "lori", "lori_uniform", "ffa", "fpft", "central"
)  # fmt: skip


def averages(folder: Path, config: Path, settings: list[str], methods: list[str], own: bool) -> dict[str, float]:
    """Return every method's NLL, mean over devices and tasks; infinite where it diverged, alone as beside others.

    With ``own`` only what devices answer of their own tasks counts.
    """
    if not (folder / "results.json").is_file():
        try:
            run(load_config(config, [f"methods=[{','.join(methods)}]", *settings]), folder, Silent())
        except DivergedError:
            if len(methods) == 1:
                return {methods[0]: math.inf}
            alone = [averages(folder / method, config, settings, [method], own) for method in methods]
            return {method: value for found in alone for method, value in found.items()}
    results = json.loads((folder / "results.json").read_text())
    groups = results["header"]["groups"]
    found: dict[str, list[float]] = {}
    for row in results["rows"]:
        if row["metric"] == "nll" and (not own or row["device"] in groups[row["task"]]):
            found.setdefault(row["method"], []).append(row["value"])
    return {method: float(np.mean(values)) for method, values in found.items()}


def rates_of(folder: Path) -> dict[str, float]:
    """Return the learning rate that every method of a finished run had."""
    methods = json.loads((folder / "results.json").read_text())["header"]["methods"]
    return {name: method["lr"]["value"] for name, method in methods.items()}


def shown(table: dict[float, dict[str, float]], found: dict[str, float], rates: dict[str, float]) -> list[str]:
    """Return for every method the rate that was found and its NLL beside the best of the grid."""
    lines = []
    for method, rate in rates.items():
        best = min(table, key=lambda one: table[one][method])
        ratio = found[method] / table[best][method]
        lines.append(
            f"found: {method} {rate:g}: {found[method]:.4f}; best of the grid {best:g}: {table[best][method]:.4f}; "
            f"ratio {ratio:.3f}; frozen {found['frozen']:.4f}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--rates", type=float, nargs="+", default=list(GRID))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--found", action="store_true", help="run with the rates that are found as well")
    parser.add_argument("--own", action="store_true", help="count each device's own task only")
    args = parser.parse_args()
    for seed in args.seeds:
        out = args.out if args.seeds == [0] else args.out / f"seed-{seed}"
        usual = [f"seed={seed}", "train.rates={}", "eval.split=validation", "eval.write=false", *args.settings]
        table: dict[float, dict[str, float]] = {}
        for rate in args.rates:
            fixed = [f"train.{key}={rate}" for key in ("lr", "lora_lr", "full_lr")]
            table[rate] = averages(out / f"{rate:g}", args.config, [*fixed, *usual], args.methods, args.own)
            print(f"{rate:8g}  " + "  ".join(f"{m} {v:.4f}" for m, v in table[rate].items()), flush=True)
        best = {method: min(table, key=lambda rate: table[rate][method]) for method in args.methods}
        print("best: rates: {" + ", ".join(f"{method}: {rate:g}" for method, rate in best.items()) + "}")
        if args.found:
            settings = ["train.lr=auto", "train.lora_lr=auto", *usual]
            found = averages(out / "auto", args.config, settings, args.methods, args.own)
            print("\n".join(shown(table, found, rates_of(out / "auto"))), flush=True)


if __name__ == "__main__":
    main()
