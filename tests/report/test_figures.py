"""What the picture shows; how it looks is for eyes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from meshtune.report.figures import compose, draw
from meshtune.report.results_file import Results, parse_results


def made(
    values: dict[str, float], tasks: list[str], devices: int, metrics: tuple[str, ...] = ("acc", "nll")
) -> Results:
    groups = {task: [d for d in range(devices) if d % len(tasks) == i] for i, task in enumerate(tasks)}
    rows = [
        {"method": m, "seed": 0, "round": 2, "device": d, "task": t, "metric": metric, "value": v, "n": 50}
        | {"stderr": 0.02}
        for metric in metrics
        for m, v in values.items()
        for d in range(devices)
        for t in tasks
    ]
    methods = {m: {"bytes": {"values": 1000 if m == "proposed" else 0}} for m in values if m != "frozen"}
    raw = {"header": {"groups": groups, "methods": methods}, "rows": rows}
    return parse_results({"format": "meshtune-results", "version": 1, **raw}, "here")


def texts(figure: Any) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


def matrices(figure: Any) -> list[Any]:
    return [axis for axis in figure.findobj(Axes) if axis.get_images()]


def frames(figure: Any) -> int:
    return sum(not patch.get_fill() and patch.get_linewidth() > 1 for patch in figure.findobj(Rectangle))


def test_accuracy_before_and_after_on_one_scale_with_own_tasks_framed() -> None:
    figure = compose(made({"frozen": 0.2, "proposed": 0.91, "local": 0.33, "lora": 0.62}, ["sums", "maps"], 3))
    shown = texts(figure)
    assert "Right answers of 3 devices (rows) to 2 tasks (columns); framed: the device's own task" in shown
    assert {"Before: each device alone", "After the exchange (proposed)"} <= set(shown)
    assert shown.count("91%") == 3 * 2 + 1  # cells and the mean
    assert shown.count("33%") == 3 * 2 + 1
    assert shown.count("62%") == 1
    assert any("red line: the frozen model, 20%" in text for text in shown)
    assert {"1.00 kB", "nothing", "sums  0", "maps  1", "sums  2"} <= set(shown)
    assert frames(figure) == 3 * 2
    assert [axis.get_images()[0].get_clim() for axis in matrices(figure)] == [(0.0, 1.0)] * 2


def test_only_tasks_with_the_measure_are_columns_and_what_is_only_tested_frames_its_group() -> None:
    results = made({"frozen": 0.2, "proposed": 0.9}, ["sums", "maps"], 2)
    essay = [row.model_copy(update={"task": "essays"}) for row in results.rows if row.metric == "nll"]
    again = [row.model_copy(update={"task": "again"}) for row in results.rows if row.task == "sums"]
    header = results.header.model_copy(update={"exams": {"sums": "sums", "again": "sums", "maps": "maps"}})
    both = results.model_copy(update={"header": header, "rows": [*results.rows, *essay, *again]})
    figure = compose(both)
    assert "Right answers of 2 devices (rows) to 3 tasks (columns); framed: the device's own task" in texts(figure)
    assert "essays" not in texts(figure)
    assert frames(figure) == 2 * 3
    loss = compose(made({"frozen": 3.0, "proposed": 2.0}, ["sums"], 1, metrics=("nll",)))
    assert "Right answers" not in texts(loss)


def test_nll_where_accuracy_hardly_moves_and_the_frozen_model_where_nobody_trained_alone() -> None:
    figure = compose(made({"frozen": 0.5, "lora": 0.4}, ["sums", "maps"], 2))
    shown = texts(figure)
    assert any(text.startswith("NLL (less is better) of 2 devices") for text in shown)
    assert {"Before: the frozen model", "After the exchange (lora)", "0.50", "0.40", "40%"} <= set(shown)


@pytest.mark.parametrize("devices", [1, 10, 60])
@pytest.mark.parametrize("tasks", [["one"], [f"a_rather_long_name_{i}" for i in range(9)]])
def test_names_do_not_overlap(tasks: list[str], devices: int) -> None:
    figure = compose(made({"frozen": 0.2, "proposed": 0.9, "local": 0.3}, tasks, devices))
    figure.canvas.draw()
    for axis in matrices(figure):
        rows = [label.get_window_extent() for label in axis.get_yticklabels() if label.get_visible()]
        assert not any(a.overlaps(b) for a, b in pairwise(rows))
        columns = [label.get_window_extent() for label in axis.get_xticklabels() if label.get_rotation() == 0]
        assert not any(a.overlaps(b) for a, b in pairwise(columns))
        assert len(columns) in (0, len(tasks))


def test_a_run_without_anything_but_the_frozen_model_is_drawn() -> None:
    assert draw(made({"frozen": 0.2}, ["sums"], 1, ("nll",))).startswith(b"\x89PNG")
