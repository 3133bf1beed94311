"""One picture of one run: who is good at what, how good on average, and what it cost on the air.

Above, devices against tasks for up to three methods on one colour scale; below, task averages with 95%
intervals and the bytes by kind.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from meshtune.report.results import BYTE_KINDS, Results
from meshtune.report.scores import Z95
from meshtune.report.tables import bytes_text

COLOURS = {
    "values": "#2a6f97",
    "masks": "#61a5c2",
    "router": "#f4a259",
    "control": "#9c6644",
    "relayed": "#bcb8b1",
}
PROPOSED = "#2a6f97"
OTHER = "#a9b4c2"
MAPPED = ("local", "lora", "proposed")
TASK_NAMES = {
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "social_i_qa": "SIQA",
    "hellaswag": "HellaSwag",
    "arc_easy": "ARC-E",
    "arc_challenge": "ARC-C",
    "scienceqa": "ScienceQA",
}


def draw(results: Results) -> bytes:
    """Return the picture of ``results`` as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mapped = [name for name in MAPPED if name in results.methods] or results.methods[:3]
    figure: Any = Figure(figsize=(13, 2.6 + 0.34 * min(len(results.devices), 12) + 0.3 * len(results.methods)))
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    heights = [0.8 + 0.34 * min(len(results.devices), 12), 0.8 + 0.3 * len(results.methods)]
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    _heatmaps(above, results, mapped)
    bars = below.subplots(1, 3, sharey=True)
    _averages(bars[0], results, "nll", "NLL, mean of tasks (lower is better)")
    _averages(bars[1], results, "acc", "accuracy, mean of tasks")
    _bytes(bars[2], results)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=130, facecolor="white", format="png")
    return picture.getvalue()


def _heatmaps(figure: Any, results: Results, methods: Sequence[str]) -> None:
    grids = [_grid(results, method) for method in methods]
    known = [value for grid in grids for row in grid for value in row if not math.isnan(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    axes = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
    image = None
    for axis, method, grid in zip(axes, methods, grids, strict=True):
        image = axis.imshow(grid, cmap="YlGnBu", vmin=low, vmax=high, aspect="auto")
        part = {(row.device, row.task) for row in results.final(method, "nll") if row.n < results.questions(row.task)}
        remark = " (*: of part of the questions)" if part else ""
        axis.set_title(f"{method}: NLL of every device on every task{remark}", fontsize=10, loc="left")
        axis.set_xticks(range(len(results.tasks)), [TASK_NAMES.get(t, t) for t in results.tasks], fontsize=8)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        for y, row in enumerate(grid):
            for x, value in enumerate(row):
                if not math.isnan(value):
                    dark = value > low + 0.6 * (high - low)
                    axis.text(
                        x,
                        y,
                        f"{value:.2f}" + ("*" if (results.devices[y], results.tasks[x]) in part else ""),
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if dark else "#222222",
                    )
    owner = {device: group for group, devices in results.header.groups.items() for device in devices}
    labels = [f"{d}  {TASK_NAMES.get(owner[d], owner[d])}" if d in owner else str(d) for d in results.devices]
    axes[0].set_yticks(range(len(labels)), labels, fontsize=8)
    axes[0].set_ylabel("device and its own task", fontsize=9)
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), fraction=0.025, pad=0.01)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=0)


def _grid(results: Results, method: str) -> list[list[float]]:
    values = {(row.device, row.task): row.value for row in results.final(method, "nll")}
    return [[values.get((device, task), math.nan) for task in results.tasks] for device in results.devices]


def _averages(axis: Any, results: Results, metric: str, title: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    for y, method in enumerate(results.methods):
        average = results.average(method, metric)
        if average is not None:
            value, error = average[0], 0.0 if math.isnan(average[1]) else Z95 * average[1]
            axis.barh(y, value, color=PROPOSED if method.startswith("proposed") else OTHER, height=0.66)
            axis.errorbar(value, y, xerr=error, color="#333333", capsize=2.5, linewidth=1)
            text = f"{value:.2f}" if metric.endswith("nll") else f"{100 * value:.0f}%"
            axis.annotate(text, (value + error, y), (4, 0), textcoords="offset points", va="center", fontsize=8)
    _tidy(axis, results.methods)
    axis.set_xlabel("bars: 95% interval", fontsize=8)


def _bytes(axis: Any, results: Results) -> None:
    axis.set_title("bytes sent in the whole run, all devices", fontsize=10, loc="left")
    seen = set()
    for y, method in enumerate(results.methods):
        cost = results.header.methods.get(method.split(":")[0])
        left = 0.0
        for kind in BYTE_KINDS if cost is not None else ():
            size = cost.bytes.get(kind, 0) / 1e6 if cost is not None else 0.0
            if size:
                axis.barh(
                    y,
                    size,
                    left=left,
                    color=COLOURS[kind],
                    height=0.66,
                    label=kind if kind not in seen else None,
                )
                seen.add(kind)
                left += size
        total = bytes_text(round(left * 1e6)) if left else "nothing" if cost or method == "frozen" else "-"
        axis.annotate(total, (left, y), (4, 0), textcoords="offset points", va="center", fontsize=8)
    _tidy(axis, results.methods)
    axis.set_xlabel("MB", fontsize=8)
    if seen:
        axis.legend(
            fontsize=8,
            frameon=False,
            ncols=len(seen),
            columnspacing=1,
            handlelength=1,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
        )


def _tidy(axis: Any, methods: Sequence[str]) -> None:
    axis.set_yticks(range(len(methods)), methods, fontsize=9)
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.margins(x=0.18)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)
