"""One picture of one run: every device on every task before and after the exchange, averages, and bytes sent.

The upper part shows devices against tasks on one colour scale, where dark is good, with a frame around each device's
own task. The lower part shows task averages with 95% intervals against the frozen model, and bytes sent. Sized to be
read at 900 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from meshtune.report.measure import headline, lower_is_better, value_text
from meshtune.report.picture import blank, plain, png
from meshtune.report.result_tables import bytes_text
from meshtune.report.results_file import Results
from meshtune.report.story import protagonist

PROPOSED, OTHER, RED, INK = "#1f6f8b", "#b8c4cc", "#d1495b", "#222222"
DPI = 200
TALLEST = 7.5  # inches; the most that the matrices take, however many devices there are
NAMES = {
    "local": "local (alone)",
    "lora": "lora (averaged)",
    "oracle": "oracle (perfect router)",
    "hard_moe": "hard_moe (perfect router)",
    "hard_moe_lora": "hard_moe_lora (dense)",
}
TASK_NAMES = {
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "social_i_qa": "SIQA",
    "hellaswag": "HellaSwag",
    "arc_easy": "ARC-E",
    "arc_challenge": "ARC-C",
    "scienceqa": "ScienceQA",
    "gsm8k": "GSM8K",
    "dolly_open_qa": "Dolly",
    "mbpp": "MBPP",
    "openai_humaneval": "HumanEval",
}


def draw(results: Results) -> bytes:
    """Return the picture of ``results`` as PNG."""
    return png(compose(results), DPI)


def compose(results: Results) -> Any:
    """Return the picture as a matplotlib figure."""
    metric = headline(results)
    methods = [name for name in results.methods if name != "frozen"] or results.methods
    panels = [metric] if metric == "acc" or not results.tasks_with("acc") else [metric, "acc"]
    above = min(TALLEST, (1.6 if results.unlearnt else 1.2) + 0.3 * len(results.devices))
    below = 1.0 + 0.27 * len(methods)
    figure = blank(above + below)
    top, bottom = figure.subfigures(2, 1, height_ratios=[above, below])
    _matrices(top, results, metric)
    axes = bottom.subplots(1, len(panels) + 1, sharey=True)
    for axis, panel in zip(axes, panels, strict=False):
        _averages(axis, results, panel, methods)
    _bytes(axes[-1], results, methods)
    return figure


def _matrices(figure: Any, results: Results, metric: str) -> None:
    shown = _before_and_after(results)
    tasks, unlearnt = results.tasks_with(metric), set(results.unlearnt)
    grids = [_grid(results, method, metric) for method in shown]
    known = [value for grid in grids for row in grid for value in row if not math.isnan(value)]
    low, high = (0.0, 1.0) if metric == "acc" else (min(known, default=0.0), max(known, default=1.0))
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    image = None
    for axis, (method, title), grid in zip(axes, shown.items(), grids, strict=True):
        image = axis.imshow(
            grid, cmap="YlGnBu_r" if lower_is_better(metric) else "YlGnBu", vmin=low, vmax=high, aspect="auto"
        )
        axis.set_title(title, fontsize=10.5, loc="left", color=INK, fontweight="bold")
        _cells(axis, results, method, metric, grid, (low, high))
        _own_tasks(axis, results, metric)
        names = [_task(task) + ("\n(unlearnt)" if task in unlearnt else "") for task in tasks]
        tight = max(len(line) for name in names for line in name.split("\n")) * len(names) * len(shown) > 100
        turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if tight else {}
        axis.set_xticks(range(len(names)), names, fontsize=8.5, **turned)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    owner = {device: group for group, devices in results.header.groups.items() for device in devices}
    labels = [f"{_task(owner[d])}  {d}" if d in owner else str(d) for d in results.devices]
    every = max(1, math.ceil(len(labels) / 34))
    axes[0].set_yticks(range(0, len(labels), every), labels[::every], fontsize=8.5)
    what = "NLL (less is better)" if lower_is_better(metric) else "Right answers"
    figure.suptitle(
        f"{what} of {len(results.devices)} devices (rows) to {len(tasks)} tasks (columns); "
        "framed: the device's own task",
        fontsize=10.5,
        color=INK,
    )
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), fraction=0.022, pad=0.012)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=0)
        bar.ax.yaxis.set_major_formatter(lambda value, _: value_text(value, metric))
        if lower_is_better(metric):
            bar.ax.invert_yaxis()


def _before_and_after(results: Results) -> Mapping[str, str]:
    """Return the methods to map with their titles: one without the exchange, one with it."""
    shown: dict[str, str] = {}
    before = next((name for name in ("local", "frozen") if name in results.methods), None)
    if before is not None:
        shown[before] = "Before: each device alone" if before == "local" else "Before: the frozen model"
    after = protagonist(results)
    if after is not None:
        shown[after] = f"After the exchange ({plain(after)})"
    return shown or {results.methods[0]: plain(results.methods[0])}


def _grid(results: Results, method: str, metric: str) -> list[list[float]]:
    values = {(row.device, row.task): row.value for row in results.final(method, metric)}
    tasks = results.tasks_with(metric)
    return [[values.get((device, task), math.nan) for task in tasks] for device in results.devices]


def _cells(
    axis: Any, results: Results, method: str, metric: str, grid: Sequence[Sequence[float]], scale: tuple[float, float]
) -> None:
    """Write the values into the cells if there is room; a star marks cells with only part of the questions."""
    tasks = results.tasks_with(metric)
    if len(results.devices) > 34 or len(tasks) > 12:
        return
    size = min(8.5, 70 / len(tasks), 240 / len(results.devices))
    part = {(row.device, row.task) for row in results.final(method, metric) if row.n < results.questions(row.task)}
    if part:
        axis.set_title(f"{axis.get_title(loc='left')} (*: part of the questions)", fontsize=9, loc="left")
    low, high = scale
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            if math.isnan(value):
                continue
            depth = (value - low) / (high - low) if high > low else 0.0
            dark = (1 - depth if lower_is_better(metric) else depth) > 0.55
            text = value_text(value, metric) + ("*" if (results.devices[y], tasks[x]) in part else "")
            cell = axis.text(x, y, text, ha="center", va="center", fontsize=size, color="white" if dark else INK)
            cell.set_in_layout(False)  # laying out hundreds of cells that fit anyway takes seconds


def _own_tasks(axis: Any, results: Results, metric: str) -> None:
    from matplotlib.patches import Rectangle

    rows = {device: y for y, device in enumerate(results.devices)}
    for x, task in enumerate(results.tasks_with(metric)):
        for device in results.owners(task):
            if device in rows:
                corner = (x - 0.46, rows[device] - 0.44)
                frame = axis.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=RED, linewidth=1.6))
                frame.set_in_layout(False)


def _averages(axis: Any, results: Results, metric: str, methods: Sequence[str]) -> None:
    title = "NLL" if lower_is_better(metric) else "Right answers"
    axis.set_title(title, fontsize=10.5, loc="left", color=INK, fontweight="bold")
    for y, method in enumerate(methods):
        average = results.average(method, metric)
        if average is not None:
            value, high = average.value, average.value
            axis.barh(y, value, color=_colour(method), height=0.66)
            if not math.isnan(average.low):
                high = average.high
                ends = [[value - average.low], [high - value]]
                axis.errorbar(value, y, xerr=ends, color=INK, capsize=2, linewidth=1)
            _beside(axis, high, y, value_text(value, metric))
    frozen = results.average("frozen", metric)
    tasks = "learnt tasks" if results.unlearnt else "tasks"
    if frozen is not None:
        axis.axvline(frozen.value, color=RED, linestyle=(0, (3, 2)), linewidth=1.2, zorder=3)
        line = f"red line: the frozen model, {value_text(frozen.value, metric)}"
        axis.set_xlabel(f"{line}\nbars: mean of {tasks}; black: 95% interval over questions", fontsize=8, loc="left")
    _tidy(axis, methods)
    if metric == "acc":
        axis.set_xlim(0, 1.12)
        axis.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])


def _bytes(axis: Any, results: Results, methods: Sequence[str]) -> None:
    axis.set_title("Bytes sent, all devices", fontsize=10.5, loc="left", color=INK, fontweight="bold")
    largest = 1
    for y, method in enumerate(methods):
        cost = results.header.methods.get(method.split(":")[0])
        total = sum(cost.bytes.values()) if cost is not None else 0
        largest = max(largest, total)
        axis.barh(y, total, color=_colour(method), height=0.66)
        _beside(axis, total, y, bytes_text(total) if total else "nothing" if cost is not None else "-")
    _tidy(axis, methods)
    axis.set_xlim(0, 1.35 * largest)
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)


def _beside(axis: Any, x: float, y: float, text: str) -> None:
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # the frozen model's line passes behind it
    axis.annotate(
        text, (x, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5, bbox=paper, zorder=4, color=INK
    )


def _tidy(axis: Any, methods: Sequence[str]) -> None:
    axis.set_yticks(range(len(methods)), [NAMES.get(name) or plain(name) for name in methods], fontsize=8.5)
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.margins(x=0.2)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)


def _colour(method: str) -> str:
    return PROPOSED if method.startswith("proposed") else OTHER


def _task(name: str) -> str:
    return TASK_NAMES.get(name) or plain(name.replace("_", " "))
