"""The rows of a run indexed in one pass, so that tables over hundreds of tasks need not scan them."""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.report.format import ResultRow
from meshtune.runs.metrics import metrics_in


class Index:
    """Rows by method, task and metric.

    Args:
        rows: of one run.

    Attributes:
        rows: the same.
        methods, tasks: names in the order of the rows; ``metrics`` and ``devices``: sorted.
        asked: by task the most questions that any device answered; ``fewest``: by method and task the fewest.
    """

    def __init__(self, rows: Sequence[ResultRow]) -> None:
        self.rows = rows
        self.methods = list(dict.fromkeys(row.method for row in rows))
        self.tasks = list(dict.fromkeys(row.task for row in rows))
        self.metrics = metrics_in(row.metric for row in rows)
        self.devices = sorted({row.device for row in rows})
        self.asked: dict[str, int] = {}
        self.fewest: dict[tuple[str, str], int] = {}
        self._measured: dict[str, set[str]] = {}
        self._final: dict[tuple[str, str], list[ResultRow]] = {}
        self._cells: dict[tuple[str, str, str], list[ResultRow]] = {}
        last: dict[tuple[str, str], int] = {}
        for row in rows:
            key = (row.method, row.metric)
            last[key] = max(last.get(key, row.round), row.round)
            self.asked[row.task] = max(self.asked.get(row.task, 0), row.n)
            self.fewest[row.method, row.task] = min(self.fewest.get((row.method, row.task), row.n), row.n)
            self._measured.setdefault(row.metric, set()).add(row.task)
        for row in rows:
            if row.round == last[row.method, row.metric]:
                self._final.setdefault((row.method, row.metric), []).append(row)
                self._cells.setdefault((row.method, row.metric, row.task), []).append(row)

    def final(self, method: str, metric: str) -> list[ResultRow]:
        """Return the rows of ``method`` and ``metric`` after its last round."""
        return self._final.get((method, metric), [])

    def cell(self, method: str, metric: str, task: str) -> list[ResultRow]:
        """Return those of them for ``task``."""
        return self._cells.get((method, metric, task), [])

    def measured(self, metric: str) -> list[str]:
        """Return the tasks with rows of ``metric``, in the order of the rows."""
        found = self._measured.get(metric, set())
        return [task for task in self.tasks if task in found]
