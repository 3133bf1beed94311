"""The paper's figures as Markdown tables, from their JSON: means over seeds with 95% intervals.

Intervals are Student's over seeds; of a single seed, those over questions that its record has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paper_runs import RIVAL

from meshtune.evaluation.over_seeds import over_seeds

Found = Mapping[str, Any]
Ends = tuple[float, float, float]


def ends_of(values: Iterable[Any]) -> Ends | None:
    """Return the mean of one value a seed and the ends of its 95% interval, nan if unknown; None without a value.

    A value is a number, or a record of ``value``, ``low`` and ``high`` over questions.
    """
    known = [one if isinstance(one, Mapping) else {"value": one} for one in values if one is not None]
    if not known:
        return None
    spread = over_seeds([one["value"] for one in known])
    if spread.count > 1:
        return spread.mean, spread.low, spread.high
    low, high = known[0].get("low"), known[0].get("high")
    return spread.mean, math.nan if low is None else low, math.nan if high is None else high


def shown(values: Iterable[Any], form: str = ".3f") -> str:
    """Return :func:`ends_of` as text: the mean, with the ends in brackets where they are known and apart."""
    ends = ends_of(values)
    if ends is None:
        return "-"
    mean, low, high = (format(end, form) for end in ends)
    return mean if math.isnan(ends[1]) or ends[1] == ends[2] else f"{mean} [{low}, {high}]"


def devices(found: Found) -> str:
    """Return a line for every number of devices and method."""
    first = ", ".join(found["first"])
    heads = ["devices", "method", "accuracy", "NLL", f"NLL - `{RIVAL}`", f"accuracy: {first}", f"NLL: {first}"]
    lines = []
    for count, of_count in grouped(found["rows"], "devices"):
        for method, rows in grouped(of_count, "method"):
            cells = [column(rows, "acc"), column(rows, "nll"), gap(rows, "nll")]
            lines.append([str(count), f"`{method}`", *cells, column(rows, "acc_first"), column(rows, "nll_first")])
    return table(heads, lines, left=(1,))


def accuracies(found: Found) -> str:
    """Return a line a method: accuracy on every task that has one, averages and differences."""
    tasks = list(found["rows"][0]["tasks"]["acc"])
    gaps = [f"{name} - `{RIVAL}`" for name in ("accuracy", "NLL")]
    heads = ["method", "in the paper", *tasks, "accuracy", gaps[0], "NLL", gaps[1], "trained", "one update, bytes"]
    lines = []
    for method, rows in grouped(found["rows"], "method"):
        each = [format(over_seeds([row["tasks"]["acc"][task] for row in rows]).mean, ".3f") for task in tasks]
        costs = [f"{rows[0][key]:,}" if rows[0][key] else "-" for key in ("parameters", "update_bytes")]
        both = [cell for metric in ("acc", "nll") for cell in (column(rows, metric), gap(rows, metric))]
        lines.append([f"`{method}`", found["names"].get(method, "-"), *each, *both, *costs])
    return table(heads, lines, left=(0, 1))


def collisions(found: Found) -> str:
    """Return a line for every number of devices."""
    lines = []
    for count, rows in grouped(found["rows"], "devices"):
        own = shown([row["clusters"] for row in rows])
        lines.append([str(count), "1", format(rows[0]["one_cluster"], ".3f"), own])
    return table(["devices", "LoRA", "one cluster", "clusters"], lines)


def entropy(found: Found) -> str:
    """Return a line for every pair of tasks: how far the densities of their layers agree."""
    lines = []
    for pair, rows in grouped(found["correlations"], "pair"):
        agree = [shown([row[key] for row in rows]) for key in ("whole", "less_kind")]
        lines.append([" and ".join(pair), str(len(found["layers"])), *agree])
    return table(["densities of", "layers", "correlation", "less their kind's mean"], lines, left=(0,))


def grouped(rows: Iterable[Mapping[str, Any]], key: str) -> list[tuple[Any, list[Mapping[str, Any]]]]:
    """Return the rows by their value of ``key``, in the order of its first appearance."""
    found: list[tuple[Any, list[Mapping[str, Any]]]] = []
    for row in rows:
        same = next((group for value, group in found if value == row[key]), None)
        if same is None:
            found.append((row[key], [row]))
        else:
            same.append(row)
    return found


def column(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return the cell of ``key`` over these rows, one a seed."""
    return shown([row[key] for row in rows])


def gap(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Return the cell of the paired difference to LoRA."""
    return shown([row.get("gap", {}).get(metric) for row in rows], "+.3f")


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Return a Markdown table whose columns are right-aligned but for ``left``."""
    rule = "".join("---|" if number in left else "---:|" for number in range(len(heads)))
    body = [f"| {' | '.join(cells)} |" for cells in (heads, *lines)]
    return "\n".join([body[0], f"|{rule}", *body[1:]])
