"""What `benchmarks/conflicts.py` measured, as Markdown: cosines by layer and by pair of tasks, losses, swapped parts.

Values are means over seeds with half the width of Student's 95% interval (n - 1); a single seed has no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from meshtune.evaluation.over_seeds import over_seeds

Record = Mapping[str, Any]
THIRDS = ("first", "middle", "last")


def tables(records: Sequence[Record]) -> dict[str, str]:
    """Return the tables of records of one name, by what they show."""
    return {
        "layers": _layers(records), "pairs": _pairs(records), "losses": _losses(records), "tasks": _tasks(records),
        "swaps": _swaps(records),
        "foretold": _foretold(records),
    }  # fmt: skip


def spread(values: Iterable[float | None], form: str = "+.2f") -> str:
    """Return the mean of one value a seed ± half its interval; "-" if there is none."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    found = over_seeds(there)
    mean = format(found.mean, form)
    mean = format(0.0, form) if float(mean) == 0 else mean  # no -0.00
    half = f" ± {format((found.high - found.low) / 2, form.lstrip('+'))}" if found.count > 1 else ""
    return mean + half


def between(record: Record, part: str, chosen: Callable[[str, str], bool], kind: str = "cosines") -> float | None:
    """Return the mean cosine over the pairs of devices whose tasks are ``chosen``; None if there is none.

    Args:
        record: of one seed and method.
        part: of the model.
        chosen: takes the tasks of two devices.
        kind: ``cosines`` of what was changed in the last round, or ``whole`` updates.
    """
    if record[kind] is None:
        return None
    pairs = zip(combinations(record["devices"], 2), record[kind][part], strict=True)
    values = [value for (a, b), value in pairs if value is not None and chosen(a, b)]
    return fmean(values) if values else None


def own_change(record: Record, task: str | None = None) -> float:
    """Return the change of a device's loss on its own task by the average, mean over tasks or of one ``task``."""
    each: dict[str, list[float]] = {}
    for mine, trained, mixed in zip(record["devices"], record["trained"], record["mixed"], strict=True):
        each.setdefault(mine, []).append(mixed[mine] - trained[mine])
    return fmean(fmean(values) for key, values in each.items() if task in (None, key))


def _methods(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record["method"], []).append(record)
    return found


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    return "\n".join([lines[0], f"|---{'|---:' * (len(header) - 1)}|", *lines[1:]])


def _layers(records: Sequence[Record]) -> str:
    """Cosines of the last round's changes, by part of the model, of devices of one task and of different tasks."""
    by_method = _methods(records)
    same = any(len(set(record["devices"])) < len(record["devices"]) for record in records)
    header, columns = ["layers"], []
    for method, mine in by_method.items():
        for title, chosen in (("same task", str.__eq__), ("other tasks", str.__ne__)):
            if title == "other tasks" or same:
                header.append(f"`{method}`, {title}")
                columns.append((mine, chosen))
    parts = list(records[0]["whole"])
    rows = [[part, *(spread(between(r, part, chosen) for r in mine) for mine, chosen in columns)] for part in parts]
    whole = [spread(between(r, "all", chosen, "whole") for r in mine) for mine, chosen in columns]
    return table(header, [*rows, ["all, whole update", *whole]])


def _pairs(records: Sequence[Record], method: str = "lora") -> str:
    """Cosines of the last round's changes of ``method``, by pair of tasks."""
    mine = _methods(records).get(method, [])
    tasks = sorted({task for record in mine for task in record["devices"]})
    rows = []
    for number, row in enumerate(tasks):
        cells = [
            spread(between(r, "all", lambda a, b, pair={row, other}: {a, b} == pair) for r in mine)  # type: ignore[misc]
            for other in tasks[: number + 1]
        ]
        rows.append([row, *cells, *[""] * (len(tasks) - number - 1)])
    return table([f"`{method}`", *tasks], rows)


def _losses(records: Sequence[Record]) -> str:
    """Losses before and after the average, on a device's own task and on those of others, mean over tasks."""
    tasks = sorted({task for record in records for task in record["devices"]})
    frozen = spread((fmean(one["frozen"].values()) for one in _methods(records)[records[0]["method"]]), ".2f")
    rows = []
    for method, mine in _methods(records).items():
        cells = [spread((_mean(r, key, own) for r in mine), ".2f")
                 for own in (True, False) for key in ("trained", "mixed")]  # fmt: skip
        worst = max(tasks, key=lambda task: fmean(own_change(r, task) for r in mine))
        gain = spread(_mean(r, "mixed", False) - _mean(r, "trained", False) for r in mine)
        change = spread(own_change(r) for r in mine)
        most = spread(own_change(r, worst) for r in mine)
        rows.append([f"`{method}`", *cells[:2], change, f"{worst} {most}", *cells[2:], gain])
    header = [f"NLL (frozen {frozen})", "own task, trained", "mixed", "change", "largest change",
              "others' tasks, trained", "mixed", "change"]  # fmt: skip
    return table(header, rows)


def _mean(record: Record, key: str, own: bool) -> float:
    """Return the mean loss over tasks of the mean over devices that have the task (``own``), or do not."""
    each: dict[str, list[float]] = {}
    for mine, scores in zip(record["devices"], record[key], strict=True):
        for task, value in scores.items():
            if (task == mine) == own:
                each.setdefault(task, []).append(value)
    return fmean(fmean(values) for values in each.values())


def _tasks(records: Sequence[Record], method: str = "lora") -> str:
    """A device's loss on its own task, and what the average takes from it by diluting and by other tasks' updates."""
    mine = [record for record in _methods(records).get(method, []) if record["diluted"]]
    rows = []
    for task in (*sorted({task for record in mine for task in record["devices"]}), None):
        found = []
        for record in mine:
            each = [
                (record["frozen"][of], record["trained"][i][of], record["diluted"][i], record["mixed"][i][of])
                for i, of in enumerate(record["devices"])
                if task in (None, of)
            ]
            frozen, trained, share, mixed = (fmean(column) for column in zip(*each, strict=True))
            found.append((frozen, trained, share, mixed, share - trained, mixed - share))
        forms = (".2f", ".2f", ".2f", ".2f", "+.2f", "+.2f")
        cells = [spread(column, form) for column, form in zip(zip(*found, strict=True), forms, strict=True)]
        rows.append([task or "mean over devices", *cells])
    return table([f"`{method}`, NLL", "frozen", "trained", "its task's share alone", "mixed", "change by dilution",
                  "by the other tasks"], rows)  # fmt: skip


def _swaps(records: Sequence[Record], method: str = "lora") -> str:
    """Change of a device's loss on its own task if only one part of the model is averaged."""
    mine = _methods(records).get(method, [])
    tasks = sorted({task for record in mine for task in record["devices"]})

    def change(record: Record, part: str | None, task: str | None) -> float:
        chosen = [i for i, of in enumerate(record["devices"]) if task in (None, of)]
        now = [record["mixed"][i][record["devices"][i]] if part is None else record["swaps"][part][i] for i in chosen]
        return fmean(
            new - record["trained"][i][record["devices"][i]] for i, new in zip(chosen, now, strict=True)
        )  # fmt: skip

    parts = [*(mine[0]["swaps"] if mine else ()), None]
    rows = [
        [part or "all", *(spread(change(r, part, task) for r in mine) for task in (*tasks, None))] for part in parts
    ]
    return table([f"`{method}`, averaged layers", *tasks, "mean over devices"], rows)


def _foretold(records: Sequence[Record]) -> str:
    """Whether cosines foretell what a device's expert does to another's task, over all pairs of different tasks."""
    rows = []
    for method, mine in _methods(records).items():
        cells = []
        for kind in ("cosines", "whole"):
            found = [_correlation(record, kind) for record in mine if record[kind] is not None]
            cells.append(spread(found))
        rows.append([f"`{method}`", *cells])
    return table(["correlation over pairs", "with the last round's cosine", "with the whole update's"], rows)


def _correlation(record: Record, kind: str) -> float | None:
    """Return Pearson's correlation of a pair's cosine and the mean of what each one's expert gains on the other's task.

    A gain is the frozen model's loss less the loss with the other's expert.
    """
    devices, x, y = record["devices"], [], []
    for (i, j), value in zip(combinations(range(len(devices)), 2), record[kind]["all"], strict=True):
        if devices[i] != devices[j] and value is not None:
            x.append(value)
            pair = ((i, devices[j]), (j, devices[i]))
            y.append(fmean(record["frozen"][task] - record["trained"][one][task] for one, task in pair))
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 and np.std(x) > 1e-6 else None
