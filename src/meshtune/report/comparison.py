"""Several runs side by side: their merged rows, and tables over them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from meshtune.errors import UserError, check_name
from meshtune.printable import printable
from meshtune.report.differences import difference_table, own_task_table
from meshtune.report.mapped import of_run
from meshtune.report.markdown import escaped
from meshtune.report.radio_costs import air_table
from meshtune.report.result_tables import (
    Table,
    confusion_table,
    cost_table,
    metric_name,
    quality_table,
    router_table,
    time_table,
)
from meshtune.report.results_file import Results, load_results
from meshtune.report.scores import of_exam, read_scores
from meshtune.report.story import story
from meshtune.runs.metrics import METRICS
from meshtune.runs.store import RunStore

FORMATS = ("table", "markdown", "json", "csv")
ROW_FIELDS = (
    *("run", "method", "seed", "round", "device", "task", "metric"),
    *("value", "n", "cores", "stderr", "low", "high"),
)
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First characters of a cell that a spreadsheet takes for a formula; the last four are full-width forms."""


def load_runs(paths: Sequence[Path]) -> dict[str, Results]:
    """Return the results of every run folder, by folder name, or by full path if two folders share a name.

    Raises:
        UserError: a run is missing, unfinished or damaged, or named twice.
    """
    full = [path.resolve() for path in paths]
    twice = next((path for path in full if full.count(path) > 1), None)
    if twice is not None:
        raise UserError(f"the run {twice} is named twice: name it once")
    names = [path.name for path in full]
    chosen = [str(path) if names.count(name) > 1 else name for path, name in zip(full, names, strict=True)]
    return {name: load_results(path) for name, path in zip(chosen, paths, strict=True)}


def merged_rows(runs: Mapping[str, Results]) -> list[dict[str, object]]:
    """Return the rows of all runs, each with the name of its run and the 95% interval of its value."""
    return [{"run": name, **row.model_dump(), **row.interval} for name, results in runs.items() for row in results.rows]


def tables(paths: Sequence[Path], metric: str = "nll", against: str | None = None) -> list[Table]:
    """Return the tables over the runs in ``paths``: quality, costs, and per run paired differences and routers.

    Args:
        metric: one of :data:`meshtune.runs.metrics.METRICS`, or ``pass@k`` if a run has it.
        against: the reference method of differences; by default ``lora`` if it ran, else ``frozen``.

    Raises:
        UserError: a run cannot be read, or the metric or the method does not exist.
    """
    runs = load_runs(paths)
    known = dict.fromkeys([*METRICS, *(name for results in runs.values() for name in results.metrics)])
    check_name("metric", metric, known)
    if against is not None and not any(against in results.methods for results in runs.values()):
        known = dict.fromkeys(name for results in runs.values() for name in results.methods)
        raise UserError(f"no run has the method {against}: choose from {', '.join(known)}")
    made = [quality_table(runs, metric), cost_table(runs)]
    for (name, results), path in zip(runs.items(), paths, strict=True):
        base = against or next((m for m in ("lora", "frozen") if m in results.methods), None)
        extra = [router_table(results)] if results.header.router else []
        extra.append(air_table(results))
        extra += [time_table(results)] if results.header.seconds else []
        if base is not None and base in results.methods:
            folder = path if path.is_dir() else path.parent
            scores = results.learnt(of_exam(read_scores(folder), results.header.exam))
            extra.insert(0, difference_table(scores, results.methods, base, metric))
            if "local" in results.methods and results.header.groups:
                extra.insert(1, own_task_table(results, scores, metric))
        for table in extra:
            if len(runs) > 1:
                table.title = f"{name}: {table.title}"
        made += [table for table in extra if table.rows]
    return made


def compare(paths: Sequence[Path], form: str = "table", metric: str = "nll", against: str | None = None) -> str:
    """Return the comparison of the runs in ``paths`` as text: Markdown tables, or merged rows as JSON or CSV.

    Raises:
        UserError: the format is unknown, or see :func:`tables`.
    """
    check_name("format", form, FORMATS)
    if form in ("json", "csv"):
        rows = merged_rows(load_runs(paths))
        if form == "json":
            return json.dumps(rows, indent=1) + "\n"
        out = io.StringIO()
        writer = csv.DictWriter(out, ROW_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
        return out.getvalue()
    return "\n".join(table.markdown() for table in tables(paths, metric, against))


def cell(value: object) -> object:
    """Return a value for CSV: text without control characters that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value.startswith(FORMULA) else printable(value)


def summary(path: Path) -> str:
    """Return a summary in words of the run in the folder ``path``.

    Raises:
        UserError: the run has no readable results.
    """
    results = load_results(path)
    return story(results, of_exam(read_scores(path), results.header.exam))


def write_report(path: Path) -> list[Path]:
    """Write the page ``table.md`` and its pictures next to the results in the run folder ``path``; return their paths.

    The pictures are ``accuracy.png`` and, for a run with a radio, ``map.png`` and ``time.png``.

    Raises:
        UserError: the run has no readable results.
    """
    from meshtune.report import figures, map, spent

    results = load_results(path)
    made = tables([path])
    for metric in [name for name in results.metrics if name != "nll"]:
        # Costs and routers are already included and do not depend on the metric.
        made += [t for t in tables([path], metric) if t.title.startswith(metric_name(metric))]
    made += [confusion_table(results, router) for router, score in results.header.router.items() if score.confusion]
    ground = of_run(results)
    pictures = {
        "accuracy.png": ("Every device on every task before and after the exchange", figures.draw(results)),
        "map.png": ("Where devices stand, and who exchanges with whom", None if ground is None else map.draw(ground)),
        "time.png": ("How good each method is after so much time and energy", spent.draw(results)),
    }
    drawn = {name: (title, png) for name, (title, png) in pictures.items() if png is not None}
    shown = [f"![{title}]({name})\n" for name, (title, _) in drawn.items()]
    parts = [f"**What happened**\n\n{escaped(summary(path))}\n", *shown, *(table.markdown() for table in made)]
    store = RunStore(path)
    store.write_bytes("table.md", "\n".join(parts).encode())
    for name, (_, png) in drawn.items():
        store.write_bytes(name, png)
    return [path / "table.md", *(path / name for name in drawn)]
