"""Tables of one run or several: methods against tasks, costs, paired differences, routers.

A :class:`Table` holds text only; it knows how to write itself in Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from meshtune.report.results import BYTE_KINDS, REPEATED, Results
from meshtune.report.scores import paired, question_scores

METRIC_NAMES = {
    "nll": "NLL per answer token",
    "option_nll": "option NLL",
    "acc": "accuracy",
    "acc_norm": "length-normalised accuracy",
    "rouge_l": "ROUGE-L",
}


@dataclass
class Table:
    """A titled table of text.

    Attributes:
        title: one line above it.
        columns: the heads; the first ``labels`` columns are left-aligned, the others right-aligned.
        rows: as many texts as columns each.
        note: one line below it.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    labels: int = 1
    note: str = ""

    def markdown(self) -> str:
        """Return the table in Markdown, with title and note."""
        rule = ["---" if i < self.labels else "---:" for i in range(len(self.columns))]
        lines = [f"**{self.title}**", ""]
        for row in (self.columns, rule, *self.rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"


def metric_name(metric: str) -> str:
    """Return what a measure is called in a title; ``pass@k`` is its own name."""
    return METRIC_NAMES.get(metric, metric)


def quality_table(runs: Mapping[str, Results], metric: str = "nll") -> Table:
    """Return methods (rows) against tasks with standard errors, the task average and, of NLL, the share of gain."""
    tasks = list(dict.fromkeys(task for results in runs.values() for task in results.tasks))
    many = len(runs) > 1
    gain = ["share of gain"] if metric == "nll" else []
    best = " or ".join(dict.fromkeys(results.best or "no method" for results in runs.values()))
    columns = [*(["run"] if many else []), "method", *tasks, "average", *gain]
    table = Table(
        f"{metric_name(metric)} by task ({'lower' if metric.endswith('nll') else 'higher'} is better)",
        columns,
        labels=2 if many else 1,
        note="± is one standard error. *: answered only part of the questions, not to be compared."
        + (f" Share of gain: (frozen - method) / (frozen - best), best = {best}." if gain else "")
        + _without([t for t in tasks if not any(t in r.tasks_with(metric) for r in runs.values())], metric),
    )
    for run, results in runs.items():
        for method in results.methods:
            cells = [
                _with_error(results.cell(method, task, metric), metric) + ("*" if results.short(method, task) else "")
                for task in tasks
            ]
            average = _with_error(results.average(method, metric), metric)
            share = results.share_of_gain(method)
            shown = ["-" if share is None else f"{100 * share:.0f}%"] if gain else []
            table.rows.append([*([run] if many else []), method, *cells, average, *shown])
    return table


def cost_table(runs: Mapping[str, Results]) -> Table:
    """Return what each method trained and sent: parameters, one update's bytes, the run's bytes by kind."""
    many = len(runs) > 1
    costs = [cost for results in runs.values() for cost in results.header.methods.values()]
    kinds = [*BYTE_KINDS, *([REPEATED] if any(cost.bytes.get(REPEATED) for cost in costs) else [])]
    columns = [
        *(["run"] if many else []),
        "method",
        "parameters updated",
        "of the model",
        "one update",
        "whole run",
    ]
    table = Table(
        "Parameters a device updates, and what the air carried",
        [*columns, *kinds],
        labels=2 if many else 1,
        note="One update is one device's steady-state payload; the rest is the whole run over all devices.",
    )
    for run, results in runs.items():
        size = results.header.model.get("parameters")
        for method, cost in results.header.methods.items():
            part = f"{100 * cost.parameters_updated / size:.2f}%" if size else "-"
            table.rows.append(
                [
                    *([run] if many else []),
                    method,
                    f"{cost.parameters_updated:,}",
                    part,
                    bytes_text(cost.payload_bytes),
                    bytes_text(sum(cost.bytes.values())),
                    *(bytes_text(cost.bytes.get(kind, 0)) for kind in kinds),
                ]
            )
    return table


def difference_table(records: Sequence[Mapping[str, Any]], methods: Sequence[str], against: str, metric: str) -> Table:
    """Return the paired difference of every method to ``against`` with its 95% interval.

    Args:
        records: the lines of a run's ``scores.jsonl``.
        methods: the methods to compare; ``against`` itself is left out.
    """
    table = Table(
        f"{metric_name(metric)}: paired difference to {against}",
        ["method", "difference", "95% interval", "questions"],
        note="Paired over the same questions, tasks weighing the same."
        + _without(list(dict.fromkeys(record["task"] for record in records if metric not in record)), metric),
    )
    base = question_scores(records, against, metric)
    for method in methods:
        gap = paired(question_scores(records, method, metric), base) if method != against else None
        if gap is not None:
            interval = "-" if math.isnan(gap.stderr) else f"[{gap.low:+.3f}, {gap.high:+.3f}]"
            table.rows.append([method, f"{gap.mean:+.3f}", interval, str(gap.questions)])
    return table


def own_task_table(results: Results, records: Sequence[Mapping[str, Any]], metric: str = "nll") -> Table:
    """Return how good the devices of each task are at it, and how much better than without any exchange.

    Args:
        results: the run, with ``local`` among its methods.
        records: the scorings of its exam.
        metric: what is compared.
    """
    without = {record["task"] for record in records if metric not in record}
    owners = {task: devices for task, devices in results.header.groups.items() if task not in without}
    table = Table(
        f"{metric_name(metric)} of each task's own devices, and paired difference to local",
        ["method", *owners, "average", "difference to local", "95% interval", "questions"],
        note="Only devices that trained on a task count for it; local trained alone."
        + _without([task for task in results.header.groups if task in without], metric),
    )
    alone = question_scores(records, "local", metric, owners)
    for method in results.methods:
        mine = question_scores(records, method, metric, owners)
        means = [fmean(mine[task].values()) for task in owners if mine.get(task)]
        if not means or len(means) < len(owners):
            continue
        cells = [f"{mean:.3f}" for mean in (*means, fmean(means))]
        gap = paired(mine, alone) if method != "local" else None
        shown = ["-"] * 3
        if gap is not None:
            interval = "-" if math.isnan(gap.stderr) else f"[{gap.low:+.3f}, {gap.high:+.3f}]"
            shown = [f"{gap.mean:+.3f}", interval, str(gap.questions)]
        table.rows.append([method, *cells, *shown])
    return table


def time_table(results: Results) -> Table:
    """Return the wall time of each phase and the largest resident size of the process."""
    seconds = results.header.seconds
    memory = results.header.peak_memory_bytes
    return Table(
        "Wall time and memory of the whole run, all devices and methods",
        [*seconds, "together", "peak memory"],
        [
            [
                *(seconds_text(value) for value in (*seconds.values(), sum(seconds.values()))),
                "-" if memory is None else bytes_text(memory),
            ]
        ],
        labels=0,
    )


def router_table(results: Results) -> Table:
    """Return how often each router chose the right group, and what its mistakes cost in NLL."""
    table = Table(
        "Routers",
        ["router", "template", "right", "right, alike tasks merged", "regret NLL", "log-loss"],
        labels=2,
        note="Regret is NLL(routed) - NLL(perfect router), paired; ± is one standard error.",
    )
    for name, score in results.header.router.items():
        right = "-" if score.accuracy is None else f"{score.accuracy:.3f}"
        merged = "-" if score.accuracy_merged is None else f"{score.accuracy_merged:.3f}"
        loss = "-" if score.log_loss is None else f"{score.log_loss:.3f}".replace("-0.000", "0.000")
        regret = "-"
        if score.regret is not None:
            error = math.nan if score.regret_stderr is None else score.regret_stderr
            regret = _with_error((score.regret, error), "nll")
        table.rows.append([name, score.template, right, merged, regret, loss])
    return table


def confusion_table(results: Results, router: str) -> Table:
    """Return how many prompts of each group (rows) ``router``, which decides by prompts, sent to each (columns)."""
    score = results.header.router[router]
    assert score.confusion is not None
    table = Table(f"Where {router} sends the prompts of each task ({score.template} template)", ["task", *score.groups])
    for group, counts in zip(score.groups, score.confusion, strict=True):
        table.rows.append([group, *(f"{count:g}" if count else "" for count in counts)])
    return table


def bytes_text(count: int) -> str:
    """Return a count of bytes for people: decimal units, three digits."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.{max(0, 2 - int(math.log10(value)))}f} {unit}"
    return f"{value / 1000:.2f} TB"


def seconds_text(seconds: float) -> str:
    """Return a duration for people: seconds below a minute, then minutes."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 59.5 else f"{seconds / 60:.1f} min"


def joules_text(joules: float) -> str:
    """Return an energy for people, in three digits."""
    for unit, size in (("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if joules >= 0.9995 * size:
            return f"{joules / size:.3g} {unit}"
    return f"{joules / 1e-9:.3g} nJ" if joules else "0 J"


def _without(tasks: Sequence[str], metric: str) -> str:
    why = ", as answers are written" if metric == "option_nll" else ""
    return f" Not measured{why}: {', '.join(tasks)}." if tasks else ""


def _with_error(cell: tuple[float, float] | None, metric: str) -> str:
    if cell is None:
        return "-"
    digits = 2 if metric.endswith("nll") else 3
    value, error = cell
    return f"{value:.{digits}f}" if math.isnan(error) else f"{value:.{digits}f} ± {error:.{digits}f}"
