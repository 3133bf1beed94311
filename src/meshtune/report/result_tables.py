"""Tables of one run or several: methods against tasks, costs, wall time, routers.

A :class:`Table` holds plain text, with names unchanged, and can render itself as Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshtune.evaluation.intervals import Estimate, Sample, bounded, mean_over
from meshtune.report.format import BYTE_KINDS, FURTHER_KINDS, RouterScore
from meshtune.report.markdown import escaped
from meshtune.report.results_file import Results

METRIC_NAMES = {
    "nll": "NLL per answer token",
    "option_nll": "option NLL",
    "acc": "accuracy",
    "acc_norm": "length-normalised accuracy",
    "rouge_l": "ROUGE-L",
}
OVER_QUESTIONS = "In brackets: 95% interval over questions (one seed)."


@dataclass
class Table:
    """A titled table of text.

    Attributes:
        title: one line above it.
        columns: the heads; the first ``labels`` columns are left-aligned, the others right-aligned.
        rows: lists of texts, one per column.
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
        lines = [f"**{escaped(self.title)}**", ""]
        for row in (self.columns, rule, *self.rows):
            lines.append("| " + " | ".join(escaped(cell) for cell in row) + " |")
        return "\n".join([*lines, *(["", escaped(self.note)] if self.note else [])]) + "\n"


def metric_name(metric: str) -> str:
    """Return a measure's name in titles; ``pass@k`` is its own name."""
    return METRIC_NAMES.get(metric, metric)


def quality_table(runs: Mapping[str, Results], metric: str = "nll") -> Table:
    """Return methods (rows) against tasks, the task average and, for NLL, the share of gain.

    Tasks that no device of any run learnt come last, after the average, which leaves them out.
    """
    every = dict.fromkeys(task for results in runs.values() for task in results.tasks)
    measured = {task for results in runs.values() for task in results.tasks_with(metric)}
    learnt = {task for results in runs.values() for task in set(results.tasks) - set(results.unlearnt)}
    tasks, nowhere = [t for t in every if t in learnt], [t for t in every if t not in learnt]
    stray = {run: learnt & set(results.unlearnt) for run, results in runs.items()}
    many = len(runs) > 1
    gain = ["share of gain"] if metric == "nll" else []
    heads = [*tasks, "average", *gain, *(f"{task} (unlearnt)" for task in nowhere)]
    table = Table(
        f"{metric_name(metric)} by task ({'higher' if bounded(metric) else 'lower'} is better)",
        [*(["run"] if many else []), "method", *heads],
        labels=2 if many else 1,
    )
    for run, results in runs.items():
        for method in results.methods:
            cells = {
                task: _with_error(results.cell(method, task, metric), metric)
                + ("*" if results.short(method, task) else "")
                + ("†" if task in stray[run] else "")
                for task in every
            }
            share = results.share_of_gain(method)
            shown = ["-" if share is None else f"{100 * share:.0f}%"] if gain else []
            average = _with_error(results.average(method, metric), metric)
            row = [*(cells[task] for task in tasks), average, *shown, *(cells[task] for task in nowhere)]
            table.rows.append([*([run] if many else []), method, *row])
    best = " or ".join(dict.fromkeys(results.best or "no method" for results in runs.values()))
    averaged = {frozenset(results.tasks_with(metric, learnt=True)) for results in runs.values()}
    notes = [
        OVER_QUESTIONS if bounded(metric) else "± is one standard error, over questions.",
        "*: answered only part of the questions, not to be compared.",
        f"Share of gain: (frozen - method) / (frozen - best), best = {best}." if gain else "",
        "Unlearnt: no device has the task; left out of the average." if nowhere else "",
        "†: no device of that run has the task; left out of its average." if any(stray.values()) else "",
        "Averages are over the tasks of each run, which differ: not to be compared." if len(averaged) > 1 else "",
        not_measured([task for task in every if task not in measured], metric).strip(),
    ]
    table.note = " ".join(note for note in notes if note)
    return table


def cost_table(runs: Mapping[str, Results]) -> Table:
    """Return what each method trained and sent: parameters, one update's bytes, the run's bytes by kind."""
    many = len(runs) > 1
    costs = [cost for results in runs.values() for cost in results.header.methods.values()]
    kinds = [*BYTE_KINDS, *(kind for kind in FURTHER_KINDS if any(cost.bytes.get(kind) for cost in costs))]
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
        note=f"{OVER_QUESTIONS} Regret is NLL(routed) - NLL(perfect router), paired; ± is one standard error, over "
        "questions.",
    )
    for name, score in results.header.router.items():
        right = _right(score, score.accuracy, score.accuracy_stderr)
        merged = _right(score, score.accuracy_merged, score.accuracy_merged_stderr)
        loss = "-" if score.log_loss is None else f"{score.log_loss:.3f}".replace("-0.000", "0.000")
        regret = "-"
        if score.regret is not None:
            known = score.regret_stderr is not None and (score.regret_stderr > 0 or score.regret != 0)
            regret = f"{score.regret:.2f}" + (f" ± {_digits(score.regret_stderr or 0.0)}" if known else "")
            if score.regret == 0 and score.regret_stderr == 0:
                regret = "0 on every question"
        table.rows.append([name, score.template, right, merged, regret, loss])
    return table


def _right(score: RouterScore, share: float | None, stderr: float | None) -> str:
    if share is None or score.confusion is None:
        return "-" if share is None else f"{share:.3f}"
    count = round(sum(map(sum, score.confusion)))
    return _with_error(mean_over([Sample.reported(share, stderr, count, score.cores)], "acc") if count else None, "acc")


def confusion_table(results: Results, router: str) -> Table:
    """Return how many prompts of each group (rows) ``router``, which decides per prompt, sent to each (columns)."""
    score = results.header.router[router]
    assert score.confusion is not None
    table = Table(f"Where {router} sends the prompts of each task ({score.template} template)", ["task", *score.groups])
    for group, counts in zip(score.groups, score.confusion, strict=True):
        table.rows.append([group, *(f"{count:g}" if count else "" for count in counts)])
    return table


def bytes_text(count: int) -> str:
    """Return a byte count in decimal units with three digits."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.{max(0, 2 - int(math.log10(value)))}f} {unit}"
    return f"{value / 1000:.2f} TB"


def seconds_text(seconds: float) -> str:
    """Return a duration as text: seconds below a minute, then minutes."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 59.5 else f"{seconds / 60:.1f} min"


def joules_text(joules: float) -> str:
    """Return an energy as text, with three digits."""
    for unit, size in (("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if joules >= 0.9995 * size:
            return f"{joules / size:.3g} {unit}"
    return f"{joules / 1e-9:.3g} nJ" if joules else "0 J"


def not_measured(tasks: Sequence[str], metric: str) -> str:
    """Return the sentence that names the tasks which ``metric`` does not measure; empty if there are none."""
    why = ", as answers are written" if metric == "option_nll" else ""
    return f" Not measured{why}: {', '.join(tasks)}." if tasks else ""


def _with_error(found: Estimate | None, metric: str) -> str:
    """Return a value with its interval, or an NLL with its standard error."""
    if found is None:
        return "-"
    if bounded(metric):
        return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.2f}" if math.isnan(found.low) else f"{found.value:.2f} ± {_digits(found.stderr)}"


def _digits(error: float) -> str:
    """Return an error with two decimals, or more until its first digit shows: never as zero."""
    return f"{error:.{max(2, math.ceil(-math.log10(error)))}f}" if error > 0 else "0"
