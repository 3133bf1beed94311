"""The paper's figures as vector graphics, from their JSON: one column wide, in colours that colour-blind readers can
tell apart, each line with a marker or dashes of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paper_layers import kinds_of
from paper_tables import Ends, ends_of, grouped

Found = Mapping[str, Any]
WIDTH = 3.5
"""Inches: a column of a two-column page."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
"""Okabe and Ito's, and a grey."""
MARKERS, DASHES = "osD^vP*X", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 3)))
STYLE = {
    "font.size": 7, "axes.titlesize": 7, "axes.labelsize": 7, "legend.fontsize": 6.5, "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5, "lines.linewidth": 1.1, "lines.markersize": 3, "axes.linewidth": 0.6, "axes.grid": True,
    "grid.alpha": 0.3, "grid.linewidth": 0.5, "legend.frameon": False, "pdf.fonttype": 42, "svg.hashsalt": "meshtune",
}  # fmt: skip
TITLES = {
    "acc": "accuracy, tasks learnt", "acc_first": "accuracy, first tasks", "nll": "NLL, tasks learnt",
    "nll_first": "NLL, first tasks",
}  # fmt: skip


def save(draw: Callable[[Found], Any], found: Found, path: Path) -> list[Path]:
    """Draw ``found`` into ``path`` with the endings .pdf and .svg; the same JSON gives the same bytes."""
    from matplotlib import rc_context

    files = [path.with_suffix(ending) for ending in (".pdf", ".svg")]
    with rc_context(STYLE):
        figure = draw(found)
        for file, undated in zip(files, ("CreationDate", "Date"), strict=True):
            figure.savefig(file, metadata={undated: None})
    return files


def devices(found: Found) -> Any:
    """Return accuracy above NLL against the number of devices, over the tasks learnt and over the first ones."""
    figure, axes = _blank(2, 2, 3.4, sharex=True)
    for axis, metric in zip(axes.flat, ("acc", "acc_first", "nll", "nll_first"), strict=True):
        for number, (method, rows) in enumerate(grouped(found["rows"], "method")):
            known = [(c, ends) for c, r in grouped(rows, "devices") if (ends := ends_of(row[metric] for row in r))]
            _line(axis, number, [count for count, _ in known], [ends for _, ends in known], method)
        axis.set_title(TITLES[metric])
    counts = sorted({row["devices"] for row in found["rows"]})
    for axis in axes[1]:
        axis.set_xlabel("devices")
        axis.set_xticks(counts[:: 1 if len(counts) < 9 else 2])
    _legend(figure, axes[0, 0], 4)
    return figure


def accuracies(found: Found) -> Any:
    """Return a dot for every method's average accuracy and NLL, with its interval."""
    methods = grouped(found["rows"], "method")
    figure, axes = _blank(1, 2, 0.7 + 0.19 * len(methods), sharey=True)
    for axis, metric, title in zip(axes.flat, ("acc", "nll"), ("accuracy", "NLL"), strict=True):
        for place, (_, rows) in enumerate(methods):
            ends = ends_of(row[metric] for row in rows)
            if ends is not None:
                axis.errorbar(ends[0], place, xerr=_bars([ends]), fmt="o", color=COLOURS[0], capsize=1.5)
        axis.set_title(title)
        axis.set_yticks(range(len(methods)), [method for method, _ in methods])
    axes.flat[0].invert_yaxis()
    return figure


def collisions(found: Found) -> Any:
    """Return collision rates against the number of devices, on a log scale."""
    figure, axes = _blank(1, 1, 2.5)
    axis, groups = axes.flat[0], grouped(found["rows"], "devices")
    counts = [count for count, _ in groups]
    lines = {
        "LoRA: all train every position": [(1.0, math.nan, math.nan)] * len(counts),
        "one cluster": [(rows[0]["one_cluster"], math.nan, math.nan) for _, rows in groups],
        "clusters": [ends for _, rows in groups if (ends := ends_of(row["clusters"] for row in rows))],
    }
    for number, (label, ends) in enumerate(lines.items()):
        _line(axis, number, counts, ends, label)
    axis.axhline(found["s_max"], color=COLOURS[-1], linestyle=":", label="S_max")
    axis.set_yscale("log")
    axis.set_xticks(counts)
    axis.set_xlabel("devices")
    axis.set_ylabel("expected collision rate")
    _legend(figure, axis, 2)
    return figure


def entropy(found: Found) -> Any:
    """Return entropy (left) and density (right) by block, a row for each kind of layer; means over seeds."""
    kinds = kinds_of(found["layers"])
    figure, axes = _blank(len(kinds), 2, 0.8 + 0.62 * len(kinds), sharex=True, sharey="col")
    for (kind, layers), row in zip(kinds.items(), axes, strict=True):
        for number, (task, seeds) in enumerate(grouped(found["rows"], "task")):
            for axis, key in zip(row, ("entropies", "densities"), strict=True):
                means = [sum(one[key][layer] for one in seeds) / len(seeds) for layer in layers]
                axis.plot(
                    range(len(layers)), means, color=COLOURS[number % 8], linestyle=DASHES[number % 8], label=task
                )
        row[0].set_ylabel(kind.removesuffix("_proj"))
    axes[0, 0].set_title("spectral entropy, nats")
    axes[0, 1].set_title("density")
    for axis in axes[-1]:
        axis.set_xlabel("block")
    _legend(figure, axes[0, 0], 3)
    return figure


def _blank(down: int, across: int, height: float, **shared: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(down, across, squeeze=False, **shared)


def _line(axis: Any, number: int, at: Sequence[float], ends: Sequence[Ends], label: str) -> None:
    look = {"color": COLOURS[number % 8], "marker": MARKERS[number % 8], "linestyle": DASHES[number % 8]}
    axis.errorbar(at, [end[0] for end in ends], yerr=_bars(ends), capsize=1.5, elinewidth=0.6, label=label, **look)


def _bars(ends: Sequence[Ends]) -> list[list[float]] | None:
    """Return the lengths of error bars below and above, or None if no end is known."""
    if any(math.isnan(low) for _, low, _ in ends):
        return None
    return [[max(0.0, mean - low) for mean, low, _ in ends], [max(0.0, high - mean) for mean, _, high in ends]]


def _legend(figure: Any, axis: Any, across: int) -> None:
    lines, labels = axis.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=min(across, len(labels)))
