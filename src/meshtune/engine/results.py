"""results.json: what a run found, in the form people script against (docs/results-format.md).

A header says what was run; rows hold {method, seed, round, device, task, metric, value, n, stderr}. Everything is drawn
from the scores and the ledger, so the file can be written again at any time.
"""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

import meshtune
from meshtune.adapter.sites import sizes
from meshtune.engine.config import RunConfig
from meshtune.engine.rounds import State
from meshtune.engine.scoring import FROZEN, router_of, signature
from meshtune.learning.base import Base
from meshtune.learning.evaluate import METRICS
from meshtune.methods.base import Method, Workshop
from meshtune.routing.measures import accuracy, confusion, log_loss, merged_accuracy

FORMAT = "meshtune-results"
VERSION = 1


def results(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    state: State,
    workshop: Workshop,
    features: Mapping[str, NDArray[np.float64]],
    scores: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the content of results.json for the scores of this exam."""
    mark = signature(config)
    mine = [s for s in scores if s["signature"] == mark and s["round"] == state.round]
    groups: dict[str, list[int]] = {}
    for device, task in enumerate(config.device_tasks):
        groups.setdefault(task.key, []).append(device)
    header = {
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "round": state.round,
        "exam": mark,
        "versions": {
            "meshtune": meshtune.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "numpy", "safetensors")},
        },
        "model": {
            "name": base.name,
            "parameters": base.parameters,
            "adapted_layers": len(base.adapters.layers),
            "adapted_parameters": sum(layer.inputs * layer.outputs for layer in base.adapters.layers),
            "expansion_positions": sum(sizes(base.adapters.layers, config.adapter.rank)),
        },
        "groups": groups,
        "methods": {m.name: _method(m, state) for m in methods},
        "router": _routers(config, methods, state, workshop, features, mine),
        "seconds": {name: round(value, 3) for name, value in state.seconds.items()},
        "peak_memory_bytes": peak_memory(),
    }
    rows = [row for record in mine for row in _rows(record, config.seed)]
    return {"format": FORMAT, "version": VERSION, "header": header, "rows": rows}


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _method(method: Method, state: State) -> dict[str, Any]:
    members = state.members[method.name]
    return {
        "parameters_updated": max(member.expert.count for member in members),
        "bytes": state.ledger.total(method.name),
        "payload_bytes": state.ledger.payload_bytes(method.name),
    }


def _rows(record: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    rows = []
    for device in record["devices"]:
        for metric in METRICS:
            values = np.asarray(record[metric])
            spread = float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None
            rows.append(
                {
                    "method": record["method"],
                    "seed": seed,
                    "round": record["round"],
                    "device": device,
                    "task": record["task"],
                    "metric": metric,
                    "value": float(values.mean()),
                    "n": int(values.size),
                    "stderr": spread,
                }
            )
    return rows


def _routers(
    config: RunConfig,
    methods: Sequence[Method],
    state: State,
    workshop: Workshop,
    features: Mapping[str, NDArray[np.float64]],
    scores: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return each router's confusion, accuracy and regret, as device 0 of the first routing method has it."""
    method = next((m for m in methods if m.routes), None)
    if method is None:
        return {}
    member = state.members[method.name][0]
    answered = {group: x for group, x in features.items() if member.holders(group)}
    truth = [group for group, x in answered.items() for _ in range(len(x))]
    x = np.concatenate(list(answered.values()))
    result: dict[str, Any] = {}
    for kind in dict.fromkeys((config.router.kind, *config.router.also)):
        router = router_of(member, kind, config, workshop)
        gates = router.gates(x)
        chosen = [router.groups[i] for i in gates.argmax(axis=1)]
        label = method.name if kind == config.router.kind else f"{method.name}:{kind}"
        result[kind] = {
            "template": config.template,
            "groups": list(router.groups),
            "confusion": confusion(router.groups, chosen, truth).tolist(),
            "accuracy": accuracy(chosen, truth),
            "accuracy_merged": merged_accuracy(chosen, truth, [config.eval.one_group]),
            "log_loss": log_loss(gates, router.groups, truth),
            "temperature": config.router.temperature,
            **_regret(scores, label, member.device),
        }
    return result


def _regret(scores: Sequence[Mapping[str, Any]], label: str, device: int) -> dict[str, Any]:
    """Return NLL(routed) - NLL(oracle), mean over tasks, with the paired standard error."""
    of = {(s["method"], s["task"]): np.asarray(s["nll"]) for s in scores if device in s["devices"]}
    gaps = {task: of[label, task] - of["hard_moe", task] for m, task in of if m == label and ("hard_moe", task) in of}
    if not gaps:
        return {"regret": None, "regret_stderr": None}
    variance = sum(gap.var(ddof=1) / gap.size for gap in gaps.values() if gap.size > 1)
    return {
        "regret": float(np.mean([gap.mean() for gap in gaps.values()])),
        "regret_stderr": float(np.sqrt(variance) / len(gaps)),
        "regret_by_task": {task: float(gap.mean()) for task, gap in gaps.items()},
    }


__all__ = ["FROZEN", "peak_memory", "results"]
