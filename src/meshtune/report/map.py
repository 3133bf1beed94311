"""A map: devices at their positions, clusters in colour, links, and refused neighbours.

The width of a link within a cluster shows the rate it could carry; links between clusters are dark. A dashed line goes
to each device's nearest refused neighbour, coloured by the bound that decided. Sized to be read at 900 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from meshtune.report.picture import blank, plain, png

COLOURS = (
    "#1f6f8b", "#d1495b", "#e6a532", "#5b8c5a", "#7a5195", "#c8683c", "#3f88c5", "#a44a8c", "#8a9a2b", "#5d5d9e",
    "#b0763a", "#2a9d8f",
)  # fmt: skip
REFUSALS = {
    "power": "#7d8790", "collision": "#b8860b", "range": "#b9a3c9", "size": "#6b8e9f", "given": "#7d8790",
}  # fmt: skip
ALONE, INK, LIGHT = "#777777", "#222222", "#eef1f2"
NAMED = 60
"""The most devices for which ids are shown."""
DPI = 110


@dataclass(frozen=True)
class Map:
    """The content of a map; devices by their index in ``positions``.

    Attributes:
        title: above it.
        positions: metres.
        tasks: the task of every device; empty to leave them out.
        clusters: devices.
        within: pairs in one cluster that reach each other, and the bit/s that they could carry.
        failing: pairs in one cluster that cannot reach each other.
        between: pairs in different clusters that are linked.
        refused: pairs in different clusters, and the bound that keeps them apart.
    """

    title: str
    positions: Sequence[tuple[float, float]]
    tasks: Sequence[str]
    clusters: Sequence[Sequence[int]]
    within: Sequence[tuple[int, int, float]]
    failing: Sequence[tuple[int, int]]
    between: Sequence[tuple[int, int]]
    refused: Sequence[tuple[int, int, str]]

    @cached_property
    def index(self) -> dict[int, int]:
        """The cluster of every device."""
        return {device: number for number, members in enumerate(self.clusters) for device in members}

    def colour(self, cluster: int) -> str:
        """Return the colour of a cluster's devices and links."""
        return COLOURS[cluster % len(COLOURS)] if len(self.clusters[cluster]) > 1 else ALONE


def draw(shown: Map) -> bytes:
    """Return the map as PNG."""
    return png(compose(shown), DPI)


def compose(shown: Map) -> Any:
    """Return the map as a matplotlib figure."""
    figure = blank(7.6)
    axis = figure.subplots()
    where = np.array(shown.positions)
    low, high = where.min(axis=0), where.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()), 1.0) * 0.56
    axis.set_xlim(middle[0] - half, middle[0] + half)
    axis.set_ylim(middle[1] - half * 1.06, middle[1] + half)
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_facecolor(LIGHT)
    for side in axis.spines.values():
        side.set_visible(False)
    _devices(axis, shown, where)
    _links(axis, shown, where)
    _refusals(axis, shown, where)
    _scale(axis, middle[0] - half * 0.96, middle[1] - half * 1.02, 2 * half)
    axis.set_title(shown.title, fontsize=12, loc="left")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=9, frameon=False)
    return figure


def many(count: int, what: str) -> str:
    """Return a count with its noun, in words."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _devices(axis: Any, shown: Map, where: Any) -> None:
    named = len(where) <= NAMED
    size = 210 if named else max(4.0, 60 - len(where) / 20)
    colours = [shown.colour(shown.index[device]) for device in range(len(where))]
    axis.scatter(*where.T, s=size, c=colours, edgecolors="white", linewidths=1.2 if named else 0.3, zorder=5)
    if named:
        for device, place in enumerate(where.tolist()):
            axis.annotate(
                str(device), place, ha="center", va="center_baseline", fontsize=9, color="white", fontweight="bold",
                zorder=6,
            )  # fmt: skip
        paper = {"facecolor": LIGHT, "edgecolor": "none", "pad": 0.6, "alpha": 0.75}
        for task, place in zip(shown.tasks, where.tolist(), strict=bool(shown.tasks)):
            axis.annotate(
                plain(task), place, (0, -11), textcoords="offset points", ha="center", va="top", fontsize=8.5,
                color=INK, bbox=paper, zorder=4,
            )  # fmt: skip
    together = [number for number, members in enumerate(shown.clusters) if len(members) > 1][: len(COLOURS)]
    for number in together if named else ():
        label = f"cluster {number}: {many(len(shown.clusters[number]), 'device')}"
        axis.scatter([], [], s=90, c=shown.colour(number), label=label)
    lone = sum(len(members) == 1 for members in shown.clusters)
    if lone:
        axis.scatter([], [], s=90, c=ALONE, label=f"{many(lone, 'device')} in no cluster")


def _links(axis: Any, shown: Map, where: Any) -> None:
    thin = _thin(shown)
    if shown.within:
        rates = np.array([rate for _, _, rate in shown.within])
        lowest, highest = float(rates.min()), float(rates.max())
        colours = [shown.colour(shown.index[a]) for a, _, _ in shown.within]
        widths = [thin * _width(rate, lowest, highest) for _, _, rate in shown.within]
        ends = [(a, b) for a, b, _ in shown.within]
        _lines(axis, where, ends, colors=colours, linewidths=widths, alpha=0.65, zorder=2)
        for rate in dict.fromkeys((lowest, highest)):
            axis.plot(
                [], [], color=INK, alpha=0.65, linewidth=thin * _width(rate, lowest, highest),
                label=f"could carry {rate / 1e6:.3g} Mbit/s",
            )  # fmt: skip
    _styled(
        axis, where, shown.failing, "carries no update", colors="#d1495b", linestyles="dotted", linewidths=1.2, zorder=2
    )
    if shown.between:
        _lines(axis, where, shown.between, colors="white", linewidths=5.5 * thin, zorder=3)
    _styled(axis, where, shown.between, "between clusters", colors=INK, linewidths=2.4 * thin, zorder=3)


def _refusals(axis: Any, shown: Map, where: Any) -> None:
    once: dict[tuple[int, int], str] = {}
    for a, b, kind in shown.refused:
        once.setdefault((min(a, b), max(a, b)), kind)
    for kind, colour in REFUSALS.items():
        pairs = [ends for ends, why in once.items() if why == kind]
        _styled(
            axis, where, pairs, f"refused: {kind}", colors=colour, linestyles="dashed", linewidths=1.1, zorder=1
        )  # fmt: skip


def _styled(axis: Any, where: Any, pairs: Sequence[tuple[int, int]], label: str, **style: Any) -> None:
    if pairs:
        _lines(axis, where, pairs, **style)
        axis.plot(
            [], [], color=style["colors"], linewidth=style["linewidths"], linestyle=style.get("linestyles", "solid"),
            label=label,
        )  # fmt: skip


def _lines(axis: Any, where: Any, pairs: Sequence[tuple[int, int]], **style: Any) -> None:
    from matplotlib.collections import LineCollection

    axis.add_collection(LineCollection([where[list(ends)] for ends in pairs], **style))


def _thin(shown: Map) -> float:
    """Return the factor by which lines are thinned when there are many devices."""
    return max(0.25, min(1.0, math.sqrt(2 * NAMED / len(shown.positions))))


def _width(rate: float, lowest: float, highest: float) -> float:
    return 1.0 + 3.5 * (rate - lowest) / (highest - lowest) if highest > lowest else 2.5


def _scale(axis: Any, x: float, y: float, across: float) -> None:
    """Draw a bar of a round number of metres, about a fifth of the picture long."""
    rough = across / 5
    unit: float = 10 ** math.floor(math.log10(rough))
    long = max(step * unit for step in (1, 2, 5) if step * unit <= rough)
    axis.plot([x, x + long], [y, y], color=INK, linewidth=3, solid_capstyle="butt", zorder=7)
    axis.annotate(
        f"{long:g} m", (x + long / 2, y), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=9, zorder=7
    )
