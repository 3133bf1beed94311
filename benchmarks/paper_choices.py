"""What each of the paper's own choices is worth to the method `paper`: its masks, projections, entropy and clusters.

    python benchmarks/paper_choices.py configs/embedded-paper.yaml --out runs/choices --rows results/paper_choices.json

Every choice and seed is a run of its own below --out, so the script goes on where it was stopped. Rows are the averages
over tasks of `paper` in its first reading and without eq. 26 (`unrouted`). Accuracy is null if answers are not written
(--set eval.write=false); that over the tasks with options is given beside it. --only names the choices to run. The
choices of clusters need a radio, the demo's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from meshtune.config.config_file import load_config
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

OURS = ("paper.projection=group", "paper.masks=calibrated")
AIR = ("radio={bandwidth: 360e3, loss: {probability: 0.05}}", "places.radius=300")
CHOICES: dict[str, tuple[str, ...]] = {
    "ours": OURS,
    "device": ("paper.projection=device", "paper.masks=calibrated"),
    "trained": ("paper.projection=group", "paper.masks=trained"),
    "signed": ("paper.projection=group", "paper.masks=trained_signed"),
    "averaged": (*OURS, "adapter.entropy_inputs=averaged"),
    "device-trained": ("paper.projection=device", "paper.masks=trained"),
    "paper": ("paper.projection=device", "paper.masks=trained_signed"),
    "paper-averaged": ("paper.projection=device", "paper.masks=trained_signed", "adapter.entropy_inputs=averaged"),
    "air-energy": (*OURS, *AIR, "clusters.tie_break=energy"),
    "air-none": (*OURS, *AIR, "clusters.tie_break=none"),
}
"""Settings beyond the configuration, by choice."""


def rows(folder: Path, settings: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    """Return what the run in ``folder`` measured, a row per reading."""
    measured: list[dict[str, Any]] = json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tasks = {row["task"] for row in measured}
    judged = {row["task"] for row in measured if row["metric"] == "acc"}
    options = {row["task"] for row in measured if row["metric"] == "option_nll"}
    found = []
    for method in dict.fromkeys(row["method"] for row in measured if row["method"] != "frozen"):
        of = [row for row in measured if row["method"] == method]
        found.append(
            {
                "method": method,
                "settings": list(settings),
                "seed": seed,
                "nll": mean(of, "nll", tasks),
                "accuracy": mean(of, "acc", tasks) if judged == tasks else None,
                "questions": len(tasks) * config["eval"]["questions"],
                "accuracy_options": mean(of, "acc", options),
                "questions_options": len(options) * config["eval"]["questions"],
            }
        )
    return found


def mean(measured: list[dict[str, Any]], metric: str, tasks: set[str]) -> float:
    """Return the mean over ``tasks`` of the mean over devices."""
    each = [[r["value"] for r in measured if r["metric"] == metric and r["task"] == task] for task in sorted(tasks)]
    return round(fmean(fmean(values) for values in each), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=list(CHOICES), default=list(CHOICES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run, for every run")
    parser.add_argument("--rows", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    found = []
    for seed in args.seeds:
        for name in args.only:
            folder, settings = args.out / f"{name}-{seed}", CHOICES[name]
            if not (folder / "results.json").is_file():
                common = [f"seed={seed}", "methods=[paper]", "paper.also=[unrouted]", *args.settings]
                run(load_config(args.config, [*common, *settings]), folder, Silent())
            found += rows(folder, settings, seed)
            print(*found[-2:], sep="\n", flush=True)
    if args.rows is not None:
        args.rows.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
