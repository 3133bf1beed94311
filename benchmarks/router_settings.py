"""The router's depth, shrinkage and temperature, chosen on training rows set aside; never on test rows.

    python benchmarks/router_settings.py configs/smollm2-tasks.yaml --save runs/router.npz

Every task's statistics come from its first training prompts, the questions from the rows cut from the training split
(--set validation=100). Prints, for every depth and shrinkage, the share of prompts sent to the right group, the same
with eval.one_group counted as one, and the log-loss of the soft gates at every temperature. --json also keeps the
temperature that the questions of all groups choose, and what it costs to take the one that a single group's choose.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meshtune.config.config_file import load_config
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import deal, exams
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.model.packing import Packed
from meshtune.routing.features import Features
from meshtune.routing.router_metrics import accuracy, log_loss, merged_accuracy
from meshtune.routing.routers import WhitenedRouter
from meshtune.routing.statistics import summarise
from meshtune.training.calibration import router_block

DEPTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
SHRINKAGES = (0.1, 0.5, 0.9)
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)


def all_depths(base: Base, prompts: list[tuple[int, ...]]) -> np.ndarray:
    """Return the prompt means (depths, prompts, width) in front of every depth's block, in one pass."""
    blocks = [router_block(base, depth) for depth in DEPTHS]
    found = np.zeros((len(DEPTHS), len(prompts), base.width))
    caught: dict[int, torch.Tensor] = {}
    handles = [
        base.blocks[block].register_forward_pre_hook(lambda _, args, at=at: caught.__setitem__(at, args[0]))
        for at, block in enumerate(blocks)
    ]
    with base.stopped_at(max(blocks) + 1) as read:
        for number, prompt in enumerate(prompts):
            read(Packed([prompt], base.device))
            for at, hidden in caught.items():
                found[at, number] = hidden[0].double().mean(0).numpy()
    for handle in handles:
        handle.remove()
    return found


def features(config: RunConfig) -> dict[str, np.ndarray]:
    """Return prompt means by "train <group>" and "test <group>"."""
    base = load(config.model)
    found = {}
    for device in deal(config, base.tokenizer):
        found.setdefault(f"train {device.group}", all_depths(base, device.prompts(config.router.prompts)))
    for paper in exams(config, base.tokenizer):
        found[f"test {paper.name}"] = all_depths(base, list(paper.prompts))
        print(f"{paper.name}: {len(paper.prompts)} prompts", flush=True)
    return found


def by_temperature(sources: dict[str, Any], found: dict[str, np.ndarray], shrinkage: float) -> dict[str, Any]:
    """Return the log-loss of every group's questions at every temperature, and whose choice costs how much."""
    groups = sorted(found)
    routers = [WhitenedRouter(sources, shrinkage, t) for t in TEMPERATURES]
    losses = {g: [log_loss(r.gates(Features(found[g])), groups, [g] * len(found[g])) for r in routers] for g in groups}
    every = np.mean([losses[g] for g in groups], axis=0)
    alone = {g: int(np.argmin(losses[g])) for g in groups}
    return {
        "temperatures": TEMPERATURES,
        "log-loss": {**losses, "mean": every.tolist()},
        "chosen by all": TEMPERATURES[int(every.argmin())],
        "chosen alone": {g: {"T": TEMPERATURES[at], "log-loss of all": float(every[at])} for g, at in alone.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--save", type=Path, required=True, help="prompt means are kept here and read again")
    parser.add_argument("--json", type=Path, help="log-losses by depth and temperature go here")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    args = parser.parse_args()
    config = load_config(args.config, ["validation=100", "eval.split=validation", *args.settings])
    if not args.save.is_file():
        args.save.parent.mkdir(parents=True, exist_ok=True)
        np.savez(args.save, **features(config))
    kept = np.load(args.save)
    groups = sorted(key.removeprefix("test ") for key in kept if key.startswith("test "))
    truth = [group for group in groups for _ in range(kept[f"test {group}"].shape[1])]
    print("depth shrink  right  as one  log-loss at T = " + " ".join(f"{t:6g}" for t in TEMPERATURES))
    report = {}
    for at, depth in enumerate(DEPTHS):
        sources = {g: [summarise(kept[f"train {g}"][at], config.router.sketch)] for g in groups}
        seen = Features(np.concatenate([kept[f"test {group}"][at] for group in groups]))
        found = {g: kept[f"test {g}"][at] for g in groups}
        report[str(depth)] = by_temperature(sources, found, config.router.shrinkage)
        for shrinkage in SHRINKAGES:
            routers = [WhitenedRouter(sources, shrinkage, t) for t in TEMPERATURES]
            chosen = [groups[i] for i in routers[0].scores(seen).argmax(axis=1)]
            losses = [log_loss(router.gates(seen), groups, truth) for router in routers]
            right, one = accuracy(chosen, truth), merged_accuracy(chosen, truth, [config.eval.one_group])
            print(
                f"{depth:5g} {shrinkage:6g} {right:6.3f} {one:7.3f}" + " " * 19 + " ".join(f"{v:6.3f}" for v in losses)
            )
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"groups": groups, "depths": report}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
