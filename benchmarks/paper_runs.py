"""Runs behind the paper's figures: played once, resumed if stopped, and read as one record a method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paper_scales import AIR, Request

from meshtune.evaluation.intervals import Sample, mean_over, same_questions
from meshtune.report.results_file import load_results
from meshtune.report.scores import TaskScores, paired, question_scores, read_scores
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run

METRICS = ("acc", "nll")
RIVAL = "lora"
"""Differences are to this method."""


@dataclass(frozen=True)
class Measured:
    """What one method reached after its last round.

    Attributes:
        samples: by metric and learnt task, the scores' statistics over questions.
        scores: by metric, each question's score.
        cost: ``parameters`` and ``update_bytes`` of a device, 0 for the frozen model.
    """

    samples: Mapping[str, Mapping[str, Sample]]
    scores: Mapping[str, TaskScores]
    cost: Mapping[str, int]


def played(request: Request, folder: Path, methods: Sequence[str], *settings: str) -> dict[str, Measured]:
    """Return what ``methods`` reached under ``settings``, and the frozen model, by name.

    Each network of :data:`~paper_scales.AIR` is a run of its own below ``folder``, because methods of one run share it.

    Raises:
        UserError: a setting is wrong, or the folder holds a run made with other settings.
    """
    found: dict[str, Measured] = {}
    for network, more in AIR.items():
        names = [name.partition("@")[0] for name in methods if name.partition("@")[2] == network]
        if not names:
            continue
        path = folder / network / "+".join(names)
        config = request.config(
            f"methods=[{','.join(names)}]", "paper.also=[]", "router.also=[]", *settings, *more
        )  # fmt: skip
        if (path / "results.json").is_file():
            RunStore.open(path).check_config(config.model_dump(mode="json"))
        else:
            run(config, path, Silent())
            print(path, flush=True)
        for name, value in measured(path).items():
            found.setdefault(f"{name}@{network}" if network and name in names else name, value)
    return {name: found[name] for name in ("frozen", *methods)}


def measured(folder: Path) -> dict[str, Measured]:
    """Return every method of a finished run, the frozen model included."""
    results, scores = load_results(folder), read_scores(folder)
    found = {}
    for name in results.methods:
        samples = {
            metric: {
                task: same_questions([row.sample for row in results.index.cell(name, metric, task)])
                for task in results.tasks_with(metric, learnt=True)
            }
            for metric in METRICS
        }
        kept = {metric: question_scores(results.learnt(scores), name, metric) for metric in METRICS}
        cost = results.header.methods.get(name)
        updated, payload = (cost.parameters_updated, cost.payload_bytes or 0) if cost is not None else (0, 0)
        found[name] = Measured(samples, kept, {"parameters": updated, "update_bytes": payload})
    return found


def joined(parts: Iterable[Measured]) -> Measured:
    """Return one record of several runs, which have different tasks."""
    every = list(parts)
    samples = {metric: {t: s for one in every for t, s in one.samples[metric].items()} for metric in METRICS}
    scores = {metric: {t: s for one in every for t, s in one.scores[metric].items()} for metric in METRICS}
    return Measured(samples, scores, every[0].cost)


def rows(found: Mapping[str, Measured], seed: int, **more: Any) -> list[dict[str, Any]]:
    """Return a record a method: averages over tasks with 95% intervals over questions, tasks, and the gap to LoRA."""
    made = []
    for name, one in found.items():
        record = {**more, "method": name, "seed": seed, **{metric: average(one, metric) for metric in METRICS}}
        record["tasks"] = {m: {task: _short(s.mean) for task, s in one.samples[m].items()} for m in METRICS}
        if RIVAL in found and name != RIVAL:
            record["gap"] = {metric: _gap(one, found[RIVAL], metric) for metric in METRICS}
        made.append({**record, **one.cost})
    return made


def average(one: Measured, metric: str, tasks: Iterable[str] | None = None) -> dict[str, float | None] | None:
    """Return the mean over ``tasks`` (None for all) with its ends; None if none of them has this metric."""
    known = one.samples[metric]
    chosen = [known[task] for task in (known if tasks is None else tasks) if task in known]
    if not chosen:
        return None
    mean = mean_over(chosen, metric)
    return _ends(mean.value, mean.low, mean.high)


def _gap(one: Measured, other: Measured, metric: str) -> dict[str, float | None] | None:
    gap = paired(one.scores[metric], other.scores[metric], metric)
    return None if gap is None else _ends(gap.mean, gap.low, gap.high)


def _ends(value: float, low: float, high: float) -> dict[str, float | None]:
    return {"value": _short(value), "low": _short(low), "high": _short(high)}


def _short(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
