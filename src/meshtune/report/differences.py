"""Tables of paired differences: every method against one, and against training alone on each device's own task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from meshtune.report.result_tables import Table, metric_name, not_measured
from meshtune.report.results_file import Results
from meshtune.report.scores import Difference, paired, question_scores


def difference_table(records: Sequence[Mapping[str, Any]], methods: Sequence[str], against: str, metric: str) -> Table:
    """Return the paired difference of every method to ``against`` with its 95% interval.

    Args:
        records: the lines of a run's ``scores.jsonl``.
        methods: the methods to compare; ``against`` itself is left out.
    """
    table = Table(
        f"{metric_name(metric)}: paired difference to {against}",
        ["method", "difference", "95% interval", "questions"],
        note="Paired over the same questions, tasks weighing the same; the interval is over these questions (one seed)."
        + not_measured(list(dict.fromkeys(record["task"] for record in records if metric not in record)), metric),
    )
    base = question_scores(records, against, metric)
    for method in methods:
        gap = paired(question_scores(records, method, metric), base, metric) if method != against else None
        if gap is not None:
            table.rows.append([method, *_cells(gap)])
    return table


def own_task_table(results: Results, records: Sequence[Mapping[str, Any]], metric: str = "nll") -> Table:
    """Return each task's scores on its own devices, and the gain over training without any exchange.

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
        note="Only devices that trained on a task count for it; local trained alone. The interval is over questions."
        + not_measured([task for task in results.header.groups if task in without], metric),
    )
    alone = question_scores(records, "local", metric, owners)
    for method in results.methods:
        mine = question_scores(records, method, metric, owners)
        means = [fmean(mine[task].values()) for task in owners if mine.get(task)]
        if not means or len(means) < len(owners):
            continue
        cells = [f"{mean:.3f}" for mean in (*means, fmean(means))]
        gap = paired(mine, alone, metric) if method != "local" else None
        table.rows.append([method, *cells, *(["-"] * 3 if gap is None else _cells(gap))])
    return table


def _cells(gap: Difference) -> list[str]:
    interval = f"[{gap.low:+.3f}, {gap.high:+.3f}]" if gap.known else "all equal" if gap.equal else "-"
    return [f"{gap.mean:+.3f}", interval, str(gap.questions)]
