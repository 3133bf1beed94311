"""The tables and the picture of docs/evidence.md, made from results/*.json alone.

    python benchmarks/evidence_page.py --write

Between the marks `<!-- NAME -->` and `<!-- /NAME -->` of the page stands what :data:`TABLES` makes under that name.
Differences are paired by question, every task counting the same. The interval of one seed covers questions; that of
several covers seeds (Student's t, n - 1) and is given beside the mean of the seeds' own.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from meshtune.evaluation.over_seeds import over_seeds
from meshtune.report.scores import Difference, paired

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "results", ROOT / "docs" / "evidence.md"
PICTURE = ROOT / "docs" / "images" / "evidence.png"
RIVAL = "lora"
Record = dict[str, Any]
LOOKS = {
    "proposed": ("common part + own expert, routed", "#1f6f8b", "o", "-"),
    "hard_moe": ("own expert alone, perfect router", "#5b8c5a", "s", "--"),
    "lora": ("averaged LoRA", "#d1495b", "^", "-"),
    "central": ("LoRA on pooled data", "#7a5195", "D", ":"),
}
"""How a method is drawn: label, colour, marker, line."""


def records(study: str, **fixed: Any) -> list[Record]:
    """Return a study's records that agree with ``fixed``; none if it has no results."""
    path = RESULTS / f"{study}.json"
    found: list[Record] = json.loads(path.read_text()) if path.is_file() else []
    return [one for one in found if all(one[key] == value for key, value in fixed.items())]


def name_of(one: Record) -> str:
    """Return a record's method with the settings it was run with on top of the study's."""
    return " ".join([f"`{one['method']}`", *(f"`{change}`" for change in one["settings"])])


def averaged(scores: Mapping[str, Mapping[str, float]]) -> float:
    """Return the mean over tasks of the mean over questions."""
    return fmean(fmean(each.values()) for each in scores.values())


def difference(one: Record, other: Record, metric: str = "nll") -> Difference | None:
    """Return ``one`` - ``other``, paired by question; None where a score is missing."""
    if metric not in one["scores"] or metric not in other["scores"]:
        return None
    return paired(one["scores"][metric], other["scores"][metric], metric)


def told(gaps: Sequence[Difference], form: str = "+.3f") -> str:
    """Return a difference in words: of one seed with its interval over questions, of several with that over seeds."""
    if not gaps:
        return "-"
    spread = over_seeds([gap.mean for gap in gaps])
    if len(gaps) == 1:
        return f"{spread.mean:{form}} [{gaps[0].low:{form}}, {gaps[0].high:{form}}]"
    inner = [fmean(getattr(gap, end) for gap in gaps) for end in ("low", "high")]
    return f"{spread.with_interval(form)}; questions [{inner[0]:{form}}, {inner[1]:{form}}]"


def lengths(study: str, model: str = "smollm2") -> str:
    """Return the table of a study: every method at every length, its measures and its difference to averaged LoRA."""
    lines = [
        "| rows a device | method | rates | seeds | one update, bytes | NLL | option-NLL | accuracy | "
        f"NLL - `{RIVAL}` |",
        "|---:|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    found = records(study, model=model)
    for rows in sorted({one["rows"] for one in found}):
        here = [one for one in found if one["rows"] == rows and (one["method"] != "frozen" or not one["settings"])]
        rivals = {one["seed"]: one for one in here if one["method"] == RIVAL and not one["settings"]}
        for name in sorted({name_of(one) for one in here}):
            runs = [one for one in here if name_of(one) == name]
            gaps = [difference(one, rivals[one["seed"]]) for one in runs if one["seed"] in rivals]
            frozen = runs[0]["method"] == "frozen"
            cells = [
                str(rows), name, "-" if frozen else ", ".join(sorted({rate(one) for one in runs})), str(len(runs)),
                f"{runs[0]['update_bytes']:,}" if runs[0]["update_bytes"] else "-",
                *(mean_of(runs, metric) for metric in ("nll", "option_nll", "acc")),
                "-" if name == f"`{RIVAL}`" else told([gap for gap in gaps if gap is not None]),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rate(one: Record) -> str:
    """Return a record's learning rate, with a star if it is at an end of those tried."""
    return f"{one['rate']:g}{'*' if one['at_an_end'] else ''}"


def mean_of(runs: Sequence[Record], metric: str) -> str:
    """Return the mean over seeds of a measure, or a dash where it was not taken."""
    values = [averaged(one["scores"][metric]) for one in runs if metric in one["scores"]]
    return f"{fmean(values):.3f}" if values else "-"


def by_task(study: str, rows: int, methods: Sequence[str], model: str = "smollm2", metric: str = "nll") -> str:
    """Return a measure by task at one length: means over seeds, a row a method."""
    found = [one for one in records(study, model=model, rows=rows, settings=[]) if one["method"] in methods]
    tasks = list(dict.fromkeys(task for one in found for task in one["scores"].get(metric, {})))
    lines = [f"| method | {' | '.join(tasks)} |", f"|---|{'---:|' * len(tasks)}"]
    for method in methods:
        runs = [one for one in found if one["method"] == method and metric in one["scores"]]
        if runs:
            means = [fmean(fmean(one["scores"][metric][task].values()) for one in runs) for task in tasks]
            lines.append(f"| `{method}` | {' | '.join(f'{value:.3f}' for value in means)} |")
    return "\n".join(lines)


def pairs(study: str, first: str, second: str, model: str = "smollm2") -> Iterator[tuple[int, list[Difference]]]:
    """Yield every length with the seeds' differences ``first`` - ``second`` in NLL."""
    found = records(study, model=model, settings=[])
    for rows in sorted({one["rows"] for one in found}):
        here = {(one["method"], one["seed"]): one for one in found if one["rows"] == rows}
        both = [seed for method, seed in here if method == first and (second, seed) in here]
        gaps = [difference(here[first, seed], here[second, seed]) for seed in both]
        if gaps:
            yield rows, [gap for gap in gaps if gap is not None]


def goals(study: str, first: str, seconds: Sequence[str], model: str = "smollm2") -> str:
    """Return the table of differences in NLL between ``first`` and each of ``seconds`` at every length."""
    found = {second: dict(pairs(study, first, second, model)) for second in seconds}
    every = sorted({rows for each in found.values() for rows in each})
    lines = [f"| `{first}` - | {' | '.join(f'{rows} rows' for rows in every)} |", f"|---|{'---:|' * len(every)}"]
    for second, each in found.items():
        if each:
            lines.append(f"| `{second}` | {' | '.join(told(each.get(rows, [])) for rows in every)} |")
    return "\n".join(lines)


def draw(study: str, path: Path, model: str = "smollm2") -> None:
    """Draw NLL against rows a device, and the differences to averaged LoRA with their intervals, into ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(10, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    found = records(study, model=model, settings=[])
    every = sorted({one["rows"] for one in found})
    for number, (method, (label, colour, marker, line)) in enumerate(LOOKS.items()):
        runs = {rows: [one for one in found if one["method"] == method and one["rows"] == rows] for rows in every}
        shown = [rows for rows in every if runs[rows]]
        if not shown:
            continue
        means = [fmean(averaged(one["scores"]["nll"]) for one in runs[rows]) for rows in shown]
        style = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5, "label": label}
        left.plot(shown, means, **style)
        if method != RIVAL:
            gaps = dict(pairs(study, method, RIVAL, model))
            xs = [rows * 1.06 ** (number - 1) for rows in gaps]
            middle = [fmean(gap.mean for gap in each) for each in gaps.values()]
            half = [fmean(gap.high - gap.low for gap in each) / 2 for each in gaps.values()]
            right.errorbar(xs, middle, yerr=half, capsize=3, **style)
    right.axhline(0, color=LOOKS[RIVAL][1], linewidth=1)
    left.set_title("NLL on test questions, lower is better", fontsize=10)
    right.set_title("difference to averaged LoRA, with 95% intervals", fontsize=10)
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set_xticks(every, [f"{rows:,}" for rows in every])
        axis.set_xlabel("rows a device has trained on", fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    left.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=130, facecolor="white")


def kept(name: str) -> str:
    """Return a table of results/methods.json: measured before the runs at several lengths, and still valid."""
    found = json.loads((RESULTS / "methods.json").read_text())[name]
    numbers = [not any(cell.strip("`")[:1].isalpha() for cell in column) for column in zip(*found["rows"], strict=True)]
    marks = ["---:" if number else "---" for number in numbers]
    lines = [found["columns"], *found["rows"]]
    return "\n".join(
        [f"| {' | '.join(lines[0])} |", f"|{'|'.join(marks)}|", *(f"| {' | '.join(r)} |" for r in lines[1:])]
    )


def choices() -> str:
    """Return what the paper's own choices are worth to `paper`: means over seeds of both readings."""
    found: list[Record] = json.loads((RESULTS / "paper_choices.json").read_text())
    lines = [
        "| settings | seeds | NLL | accuracy | with options | NLL, `unrouted` | accuracy | with options |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for settings in dict.fromkeys(tuple(one["settings"]) for one in found):
        runs = [one for one in found if tuple(one["settings"]) == settings]
        cells = [" ".join(f"`{each}`" for each in settings), str(len({one["seed"] for one in runs}))]
        for method in ("paper", "paper:unrouted"):
            for measure, form in (("nll", ".3f"), ("accuracy", ".3f"), ("accuracy_options", ".2f")):
                values = [one[measure] for one in runs if one["method"] == method and one[measure] is not None]
                cells.append(format(fmean(values), form) if values else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


FIVE = ("proposed", "oracle", "bank", "hard_moe", "lora", "central")
TABLES: dict[str, Callable[[], str]] = {
    "goals": lambda: goals("five", "proposed", ("lora", "hard_moe", "central", "oracle", "bank")),
    "five": lambda: lengths("five"),
    "five tasks": lambda: by_task("five", 256, FIVE),
    "choices": choices,
} | {name: partial(kept, name) for name in json.loads((RESULTS / "methods.json").read_text())}
"""What the page shows, by the name in its marks."""


def filled(page: str) -> str:
    """Return the page with the text between every pair of marks made anew."""
    for name, make in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page = mark.sub(partial(_between, make()), page)
    return page


def _between(text: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}{text}\n{marks[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into the page and draw its picture")
    args = parser.parse_args()
    if args.write:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        draw("five", PICTURE)
        return
    for name, make in TABLES.items():
        print(f"{name}\n\n{make()}\n")


if __name__ == "__main__":
    main()
