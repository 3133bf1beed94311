"""results.json: a run's results, in the documented format for scripts (docs/results-format.md).

A header says what was run; rows hold {method, seed, round, device, task, metric, value, n, cores, stderr, low, high}.
Everything is derived from the scores and the ledger, so the file can be rewritten at any time.
"""

from __future__ import annotations

import itertools
import math
import platform
from collections.abc import Hashable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from meshtune.adapter.projection import coherence, projection
from meshtune.adapter.sites import narrowest, sizes
from meshtune.config.run_config import RunConfig
from meshtune.evaluation.curves import curves, whole
from meshtune.evaluation.exam import FROZEN, candidates, router_of, signature
from meshtune.evaluation.intervals import Sample, mean_over
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.model.base import Base
from meshtune.network.density_limits import DensityLimit
from meshtune.network.federation_state import FederationState
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import summary
from meshtune.node.announcements import recipes, trains_sparse
from meshtune.routing.features import Features
from meshtune.routing.router_metrics import confusion, log_loss, merged_right
from meshtune.routing.routers import Router
from meshtune.runs.metrics import metrics_in
from meshtune.version import __version__

COMPARED = 64
"""The most projections of a method whose coherence is computed, pair by pair."""
FORMAT = "meshtune-results"
VERSION = 1


def results(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    state: FederationState,
    factory: ExpertFactory,
    features: Mapping[str, Features],
    scores: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    network: RunNetwork | None = None,
    planned: Mapping[str, DensityLimit] | None = None,
) -> dict[str, Any]:
    """Return the content of results.json for the scores of this exam; ``events`` give the costs of all sessions."""
    mark = signature(config)
    scoring = sum(e["seconds"] for e in events if e.get("event") == "scored" and e["signature"] == mark)
    labels = [candidate.label for candidate in candidates(config, methods, state)]
    rates = next((event for event in events if event.get("event") == "rates"), None)
    now = [s for s in scores if s.get("signature") == mark and s["round"] == state.round]
    mine = _in_order([*config.exams], labels, now)
    groups: dict[str, list[int]] = {}
    for device, task in enumerate(config.device_tasks):
        groups.setdefault(task.key, []).append(device)
    header = {
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "round": state.round,
        "exam": mark,
        "versions": {
            "meshtune": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "numpy", "safetensors")},
        },
        "model": {
            "name": base.name,
            "parameters": base.parameters,
            "adapted_layers": len(base.adapters.layers),
            "adapted_parameters": sum(layer.inputs * layer.outputs for layer in base.adapters.layers),
            "adapted_share": base.share.share,
            "left_out": list(base.share.left_out),
            "paths": base.paths.to_json(),
            "expansion_positions": sum(sizes(base.adapters.layers, config.adapter.rank)),
        },
        "groups": groups,
        "exams": {name: key if key in groups else None for name, key in config.exams.items()},
        "data": next((e["tasks"] for e in events if e.get("event") == "data"), {}),
        "coherence": _coherence(config, base),
        **({} if planned is None else {"budgets": {group: budget.facts() for group, budget in planned.items()}}),
        **({} if network is None else {"network": network.facts(), "curves": _curves(config, scores, mark, state)}),
        **({} if rates is None else {"rates": {kind: facts for kind, facts in rates.items() if kind != "event"}}),
        "methods": {m.name: {**_rate(m, config, rates or {}), **_method(m, state)} for m in methods},
        "router": _routers(config, methods, state, factory, features, mine),
        "seconds": {name: round(value, 3) for name, value in {**state.seconds, "score": scoring}.items()},
        "peak_memory_bytes": max((e["peak_memory_bytes"] for e in events if e.get("peak_memory_bytes")), default=None),
    }
    rows = [row for record in mine for row in _rows(record, config.seed)]
    return {"format": FORMAT, "version": VERSION, "header": header, "rows": rows}


def _in_order(
    exams: Sequence[str], labels: Sequence[str], scores: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return scorings in the order in which a run makes them, even if some were lost and made again."""
    exam_at, label_at = ({name: n for n, name in enumerate(dict.fromkeys(names))} for names in (exams, labels))

    def place(record: Mapping[str, Any]) -> tuple[int, int, int]:
        exam, label = exam_at.get(record["task"], len(exam_at)), label_at.get(record["method"], len(label_at))
        return exam, label, record["devices"][0]

    return sorted(scores, key=place)


def _coherence(config: RunConfig, base: Base) -> float | None:
    """Return the largest |A_i A_j^T|_F / |A_i A_i^T|_F over pairs of a method's projections, at the narrowest layer."""
    if not trains_sparse(config):
        return None
    layer = narrowest(base.adapters.layers)
    found = recipes(config, base.adapters.layers)
    own = [Announcement(device, task.key, 1, found[task.key]) for device, task in enumerate(config.device_tasks)]
    sparse = [method for method in map(get_method, config.methods) if method.kind.projected]
    sets = {
        tuple(dict.fromkeys(method.recipe(one, config.adapter, config.paper) for one in own))[:COMPARED]
        for method in sparse
    }
    made = {recipe: projection(recipe, layer.site, layer.inputs) for recipe in set().union(*sets)}
    pairs = (pair for each in sets for pair in itertools.combinations(each, 2))
    return max((coherence(made[a], made[b]) for a, b in pairs), default=None)


def _curves(
    config: RunConfig, scores: Sequence[Mapping[str, Any]], mark: str, state: FederationState
) -> dict[str, list[dict[str, float]]]:
    unlearnt = config.unlearnt
    learnt = {name for name, key in config.exams.items() if key not in unlearnt}
    mine = [s for s in whole_exam(scores, mark, state)[0] if s["task"] in learnt]
    return curves(mine, state.clocks)


def whole_exam(
    scores: Sequence[Mapping[str, Any]], mark: str, state: FederationState
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the scorings of the exam ``mark`` so far, without incomplete rounds, and a note on each such round."""
    return whole([s for s in scores if s.get("signature") == mark and s["round"] <= state.round], state.round)


def _rate(method: Method, config: RunConfig, rates: Mapping[str, Any]) -> dict[str, Any]:
    """Return the highest learning rate of ``method``, the key that set it, and whether it was searched for."""
    kinds, told = method.kind.rates, []
    for kind in kinds:
        value, key = config.train.peak(kind, method.name), config.train.key(kind, method.name)
        searched = kinds if method.name in config.train.rates else (kind,)  # a rate for all parts is one of theirs
        found = any(one in rates and rates[one]["rate"] == value for one in searched)
        told.append({"key": key, "value": value, "found": found})
    return {"lr": told[0]} | ({"common_lr": told[1]} if len(told) > 1 else {})


def _method(method: Method, state: FederationState) -> dict[str, Any]:
    members = state.members[method.name]
    return {
        "parameters_updated": max(member.expert.count for member in members),
        "bytes": state.ledger.total(method.name),
        "bytes_per_round": {str(n): found for n, found in state.ledger.per_round(method.name).items()},
        "payload_bytes": state.ledger.payload_bytes(method.name),
        **({"clock": summary(state.clocks[method.name])} if method.name in state.clocks else {}),
    }


def _rows(record: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    rows = []
    for device in record["devices"]:
        for metric in metrics_in(record):
            sample = Sample.of(record[metric], record.get("cores"))
            found = mean_over([sample], metric)
            known = not math.isnan(found.low)
            rows.append(
                {
                    "method": record["method"],
                    "seed": seed,
                    "round": record["round"],
                    "device": device,
                    "task": record["task"],
                    "metric": metric,
                    "value": sample.mean,
                    "n": sample.count,
                    "cores": sample.cores,
                    "stderr": sample.stderr,
                    "low": found.low if known else None,
                    "high": found.high if known else None,
                }
            )
    return rows


def _routers(
    config: RunConfig,
    methods: Sequence[Method],
    state: FederationState,
    factory: ExpertFactory,
    features: Mapping[str, Features],
    scores: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return each router's confusion, accuracy and regret, for device 0 of the first routing method."""
    method = next((m for m in methods if m.routing.statistics), None)
    if method is None:
        return {}
    member = state.members[method.name][0]
    answered = {name: x for name, x in features.items() if member.holders(config.exams[name])}
    truth = [config.exams[name] for name, x in answered.items() for _ in range(len(x))]
    seen = Features.joined(answered.values())
    asked = {s["task"]: s.get("cores") for s in scores if s["method"] == FROZEN}
    cores = [(name, (asked.get(name) or range(len(x)))[n]) for name, x in answered.items() for n in range(len(x))]
    result: dict[str, Any] = {}
    for kind in config.router.names:
        router = router_of(member, kind, config, factory)
        label = method.name if kind == config.router.kind else f"{method.name}:{kind}"
        result[kind] = {
            "template": config.template,
            "groups": list(router.groups),
            **_choices(router, seen, truth, cores, config),
            **_regret([s for s in scores if s["task"] in answered], label, member.device, config),
        }
    return result


def _choices(
    router: Router, seen: Features, truth: Sequence[str], cores: Sequence[Hashable], config: RunConfig
) -> dict[str, Any]:
    """Return how often ``router`` chose the right group; empty if it does not decide per prompt."""
    if router.by_token:
        empty = dict.fromkeys(("confusion", "accuracy", "accuracy_merged", "log_loss"))
        return {**empty, "temperature": config.router.arrow_temperature}
    gates = router.gates(seen)
    chosen = [router.groups[i] for i in gates.argmax(axis=1)]
    right, merged = (Sample.of(merged_right(chosen, truth, like), cores) for like in ([], [config.eval.one_group]))
    errors = {"cores": right.cores, "accuracy_stderr": right.stderr, "accuracy_merged_stderr": merged.stderr}
    return {
        "confusion": confusion(router.groups, chosen, truth).tolist(),
        "accuracy": right.mean,
        "accuracy_merged": merged.mean,
        **(errors if right.cores < right.count else {}),
        "log_loss": None if gates.max(axis=1).min() == 1 else log_loss(gates, router.groups, truth),
        "temperature": config.router.temperature,
        **({} if router.abstention is None else {"refused": float(1 - router.abstention.known(seen).mean())}),
    }


def _regret(
    scores: Sequence[Mapping[str, Any]], label: str, device: int, config: RunConfig
) -> dict[str, float | dict[str, float] | None]:
    """Return NLL(routed) - NLL(perfect router), mean over tasks, with the paired standard error.

    None unless the method's ceiling ran and trained like it, so that only the router differs.
    """
    routed = label.split(":")[0]
    ceiling, kinds = get_method(routed).ceiling, get_method(routed).kind.rates
    mine = [s for s in scores if device in s["devices"]]
    of = {(s["method"], s["task"]): np.asarray(s["nll"]) for s in mine}
    cores = {s["task"]: s.get("cores") for s in mine if s["method"] == label}
    gaps = {task: of[label, task] - of[ceiling, task] for m, task in of if m == label and (ceiling, task) in of}
    if not gaps or any(config.train.peak(kind, routed) != config.train.peak(kind, ceiling) for kind in kinds):
        return {"regret": None, "regret_stderr": None}
    errors = [Sample.of(gap.tolist(), cores[task]).stderr for task, gap in gaps.items()]
    variance = sum(error**2 for error in errors if error is not None)
    return {
        "regret": float(np.mean([gap.mean() for gap in gaps.values()])),
        "regret_stderr": float(np.sqrt(variance) / len(gaps)),
        "regret_by_task": {task: float(gap.mean()) for task, gap in gaps.items()},
    }
