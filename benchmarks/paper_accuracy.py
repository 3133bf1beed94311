"""The paper's accuracies: against the number of devices, its Table I, and each device alone on its own task.

Each function trains what is not trained yet and returns the figure as JSON, with a record per method and seed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from paper_runs import METRICS, average, joined, played, rows
from paper_scales import CLUSTERS, Request

DEVICES = ("proposed", "lora", "paper")
TABLE = {
    "fpft": "FPFT", "lora": "LoRA", "lori": "LoRI", "hard_moe_lora": "Hard-routing MoE",
    "paper": "Proposed, one cluster", f"paper@{CLUSTERS}": "Proposed", "hard_moe": "-", "proposed": "-",
}  # fmt: skip
"""The methods of Table I and what the paper calls them; the last two are ours."""
SINGLE = {"fpft": "FPFT", "lora": "LoRA", "lori": "LoRI", "paper": "Proposed", "proposed": "-"}
"""The same without a federation."""


def devices(request: Request) -> dict[str, Any]:
    """Return accuracy and NLL for every number of devices.

    Devices take the tasks in turn, so more devices also teach more tasks until each has one. ``acc`` and ``nll`` are
    over the tasks that some device has. ``acc_first`` and ``nll_first`` are over those that the least number of devices
    has: the same questions at every number, so that they fall only for what the other devices add.
    """
    found, methods = [], request.chosen(DEVICES)
    least = request.config(f"devices={{count: {min(request.counts)}}}")
    taken = {task.key for task in least.device_tasks}
    first = [exam for exam, key in least.exams.items() if key in taken]
    for count in request.counts:
        for seed in request.seeds:
            folder = request.out / f"{count}-devices" / f"seed-{seed}"
            own = [f"seed={seed}", f"devices={{count: {count}}}", *request.scale.devices]
            measured = played(request, folder, methods, *own)
            for row in rows(measured, seed, devices=count):
                also = {f"{metric}_first": average(measured[row["method"]], metric, first) for metric in METRICS}
                found.append({**row, **also})
    return {"first": first, "rows": found}


def table1(request: Request) -> dict[str, Any]:
    """Return the paper's Table I: every method on every task, after federated training."""
    found, methods = [], request.chosen(tuple(TABLE))
    for seed in request.seeds:
        measured = played(request, request.out / f"seed-{seed}", methods, f"seed={seed}")
        found += rows(measured, seed)
    return {"names": TABLE, "rows": found}


def single(request: Request) -> dict[str, Any]:
    """Return every method without a federation: for each task a run of one device, asked that task alone."""
    found, methods = [], request.chosen(tuple(SINGLE))
    tasks = request.config().tasks
    for seed in request.seeds:
        parts = []
        for task in tasks:
            alone = [f"seed={seed}", "devices={count: 1}"]
            own = replace(request, settings=[*request.settings, f"tasks={json.dumps([task.model_dump()])}"])
            parts.append(played(own, request.out / f"seed-{seed}" / task.key, methods, *alone))
        found += rows({name: joined(part[name] for part in parts) for name in parts[0]}, seed)
    return {"names": SINGLE, "rows": found}
