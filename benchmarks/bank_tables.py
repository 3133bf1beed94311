"""What `benchmarks/bank_uses.py` measured, as Markdown: a task that joins, a task that is dropped, every exchange.

Values are means over seeds with half the width of Student's 95% interval (n - 1); a single seed has no interval. All
are NLL, so lower is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from conflict_tables import spread, table

Record = Mapping[str, Any]


def tables(records: Sequence[Record]) -> dict[str, str]:
    """Return the tables of records of one configuration, by what they show."""
    return {"join": _join(records), "drop": _drop(records), "exchanges": _exchanges(records)}


def others(record: Record, scores: Mapping[str, float], *but: str) -> float:
    """Return the mean score over the tasks that neither join late nor are named."""
    return fmean(value for task, value in scores.items() if task not in (record["newcomer"], *but))


def worst(record: Record, method: str) -> float:
    """Return the largest loss that the newcomer causes on another's task."""
    joined, apart = record["joined"][method], record["apart"][method]
    return max(joined[task] - apart[task] for task in apart if task != record["newcomer"])


def _join(records: Sequence[Record]) -> str:
    """What a newcomer does to the others, and what it and they gain on its own task."""
    frozen = spread((r["frozen"][r["newcomer"]] for r in records), ".2f")
    header = ["method", "others, when it joins", "at the end, never joined", "joined", "joined - never", "worst task",
              f"its task (frozen {frozen}), never joined", "joined"]  # fmt: skip
    rows = []
    for method in records[0]["joined"]:
        never = [r["apart"][method] for r in records]
        now = [r["joined"][method] for r in records]
        gaps = (others(r, a) - others(r, b) for r, a, b in zip(records, now, never, strict=True))
        rows.append(
            [
                f"`{method}`",
                spread((others(r, r["before"][method]) for r in records), ".2f"),
                spread((others(r, one) for r, one in zip(records, never, strict=True)), ".2f"),
                spread((others(r, one) for r, one in zip(records, now, strict=True)), ".2f"),
                spread(gaps, "+.3f"),
                spread((worst(r, method) for r in records), "+.3f"),
                *(spread((one[r["newcomer"]] for r, one in zip(records, each, strict=True)), ".2f")
                  for each in (never, now)),
            ]
        )  # fmt: skip
    return table(header, rows)


def _drop(records: Sequence[Record]) -> str:
    """What is left of a task when its device's update is deleted, and what the other tasks lose."""
    header = ["method", "dropped task, before", "after", "frozen", "newcomer dropped", "never joined",
              "other tasks, before", "after", "change"]  # fmt: skip
    rows = []
    for method in records[0]["joined"]:
        if method in ("hard_moe", "oracle"):
            continue  # for a task without an expert a perfect router has no answer
        gone = [r["dropped"] for r in records]
        rest = [
            [[r["joined"][method][t] for t in r["tasks"] if t != task] for task in each]
            for r, each in zip(records, gone, strict=True)
        ]
        left = [
            [[found[method][t] for t in r["tasks"] if t != task] for task, found in each.items()]
            for r, each in zip(records, gone, strict=True)
        ]
        before, after = ([fmean(map(fmean, tasks)) for tasks in each] for each in (rest, left))
        rows.append(
            [
                f"`{method}`",
                spread((fmean(r["joined"][method][task] for task in r["dropped"]) for r in records), ".2f"),
                spread((fmean(found[method][task] for task, found in each.items()) for each in gone), ".2f"),
                spread((fmean(r["frozen"][task] for task in r["dropped"]) for r in records), ".2f"),
                spread((r["dropped"][r["newcomer"]][method][r["newcomer"]] for r in records), ".2f"),
                spread((r["apart"][method][r["newcomer"]] for r in records), ".2f"),
                spread(before, ".2f"),
                spread(after, ".2f"),
                spread((b - a for a, b in zip(before, after, strict=True)), "+.3f"),
            ]
        )
    return table(header, rows)


def _exchanges(records: Sequence[Record]) -> str:
    """The change of the loss on the own task by every exchange, mean over devices, and by the last one, by task."""
    rounds = sorted({one["round"] for r in records for one in r["exchanges"]})
    tasks = [task for task in records[0]["tasks"] if all(task != r["newcomer"] for r in records)]

    def change(record: Record, **what: object) -> float:
        mine = [one for one in record["exchanges"] if all(one[key] == value for key, value in what.items())]
        return fmean(one["mixed"] - one["trained"] for one in mine)

    rows = [
        [f"`{method}`", *(spread((change(r, method=method, round=n) for r in records), "+.3f") for n in rounds),
         *(spread((change(r, method=method, round=rounds[-1], task=task) for r in records), "+.2f") for task in tasks)]
        for method in records[0]["joined"]
    ]  # fmt: skip
    return table(["method", *(f"round {n}" for n in rounds), *(f"{task}, round {rounds[-1]}" for task in tasks)], rows)
