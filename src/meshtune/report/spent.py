"""Plots of each method's score against seconds and joules: time-to-accuracy and joules-to-accuracy.

There is one line per method: the frozen model until the handshake is over, then a point for every scored round. Sized
to be read at 900 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshtune.report.figures import DPI, INK, NAMES, OTHER, PROPOSED
from meshtune.report.map import COLOURS
from meshtune.report.measure import headline, lower_is_better, value_text
from meshtune.report.picture import blank, plain, png
from meshtune.report.result_tables import joules_text, seconds_text
from meshtune.report.results_file import Results
from meshtune.report.story import protagonist

AXES = {
    "seconds": ("time on the virtual clock, s", seconds_text),
    "joules": ("energy of all devices, J", joules_text),
}


def draw(results: Results) -> bytes | None:
    """Return the picture of ``results`` as PNG; None if no clock ran."""
    figure = compose(results)
    return None if figure is None else png(figure, DPI)


def compose(results: Results) -> Any:
    """Return the picture as a matplotlib figure; None if no clock ran."""
    metric = headline(results)
    lines = {name: points for name, points in results.header.curves.items() if ":" not in name and metric in points[0]}
    if not lines:
        return None
    figure = blank(3.6)
    axes = figure.subplots(1, len(AXES), sharey=True)
    frozen = results.average("frozen", metric)
    first = protagonist(results)
    order = sorted(lines, key=lambda name: name == first)  # the run's main method is drawn on top
    for axis, (spent, (label, text)) in zip(axes, AXES.items(), strict=True):
        drawn = {}
        for name in order:
            start = [] if frozen is None else [(0.0, frozen.value), (_handshake(results, name, spent), frozen.value)]
            way = [*start, *((point[spent], point[metric]) for point in lines[name])]
            total = f"{NAMES.get(name) or plain(name)}: {value_text(way[-1][1], metric)}, {text(way[-1][0])}"
            (drawn[name],) = axis.plot(*zip(*way, strict=True), label=total, **_style(name, first, list(lines)))
        axis.set_xlabel(label, fontsize=8.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.set_xlim(left=0)
        axis.legend(
            handles=[drawn[name] for name in lines], fontsize=7.5, frameon=False, loc="upper left",
            bbox_to_anchor=(0, -0.18), borderaxespad=0,
        )  # fmt: skip
    what = "NLL" if lower_is_better(metric) else "Right answers"
    axes[0].set_title(f"{what} after so much time", fontsize=10.5, loc="left", color=INK, fontweight="bold")
    axes[1].set_title("... and energy", fontsize=10.5, loc="left", color=INK, fontweight="bold")
    if metric == "acc":
        axes[0].set_ylim(0, 1)
        axes[0].set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    return figure


def _handshake(results: Results, method: str, spent: str) -> float:
    """Return the seconds, or joules, until a method's first round begins."""
    clock = results.header.methods[method].clock
    kinds = ("seconds",) if spent == "seconds" else ("sending", "computing")
    return 0.0 if clock is None else sum(clock.per_round[kind][0] for kind in kinds if clock.per_round.get(kind))


def _style(name: str, first: str | None, names: Sequence[str]) -> dict[str, Any]:
    if name == first:
        return {"color": PROPOSED, "linewidth": 2.6, "marker": "o", "markersize": 5}
    others = [colour for colour in COLOURS if colour != PROPOSED]
    rank = [other for other in names if other != first].index(name)
    dashed = "--" if name.startswith(("oracle", "hard_moe")) else "-"  # an upper bound, often right below another line
    colour = OTHER if name == "local" else others[rank % len(others)]
    return {"color": colour, "linewidth": 1.6, "marker": "o", "markersize": 3.5, "linestyle": dashed}
