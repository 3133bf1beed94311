"""The demo under several seeds: accuracy of every method, paired differences, time and memory.

    python benchmarks/demo.py --seeds 0 1 2 --out runs/demo-seeds

Every seed is a run of its own below --out (other questions, other rows, other masks; the same base model), so the
script goes on where it was stopped. Prints one line a seed, then means over seeds: ± is their standard deviation
(n - 1), brackets hold Student's 95% interval over seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from meshtune.config.demo_config import demo_config
from meshtune.evaluation.over_seeds import over_seeds
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

AGAINST = ("lora", "hard_moe", "local")


def accuracies(results: dict) -> dict[str, float]:
    """Return every method's accuracy, mean over devices and tasks, and that of devices on their own task."""
    found: dict[str, list[float]] = {}
    owner = {device: group for group, devices in results["header"]["groups"].items() for device in devices}
    for row in results["rows"]:
        if row["metric"] == "acc":
            found.setdefault(row["method"], []).append(row["value"])
            if owner.get(row["device"]) == row["task"] and row["method"] in ("bank", "local"):
                found.setdefault(f"{row['method']} own task", []).append(row["value"])
                if len(results["header"]["groups"][row["task"]]) > 1:
                    found.setdefault(f"{row['method']} shared task", []).append(row["value"])
    return {method: float(np.mean(values)) for method, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    args = parser.parse_args()
    table: list[dict[str, float]] = []
    for seed in args.seeds:
        folder = args.out / f"seed-{seed}"
        if not (folder / "results.json").is_file():
            run(demo_config([f"seed={seed}", *args.settings]), folder, Silent())
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        found = accuracies(results)
        table.append(found)
        seconds = results["header"]["seconds"]
        parts = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        print(f"seed {seed}: " + "  ".join(f"{m} {v:.3f}" for m, v in found.items()), flush=True)
        peak = results["header"]["peak_memory_bytes"] / 1e6
        print(f"        {sum(seconds.values()):.0f} s ({parts}), peak memory {peak:.0f} MB", flush=True)
    for name in table[0]:
        values = [row[name] for row in table]
        print(f"{name:22s} {over_seeds(values).with_sd('.3f')}")
    for other in AGAINST:
        gaps = [row["bank"] - row[other] for row in table]
        print(f"bank - {other:11s} {over_seeds(gaps).with_interval('+.3f')}")
    gaps = [row["bank shared task"] - row["local shared task"] for row in table]
    print(f"two devices - one      {over_seeds(gaps).with_interval('+.3f')}")
    print(f"± is the standard deviation (n - 1) over {len(table)} seeds, brackets the 95% interval over these seeds")


if __name__ == "__main__":
    main()
