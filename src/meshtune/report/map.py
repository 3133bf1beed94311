"""The map of a plan: devices where they stand, clusters in colour, links, and who was refused.

Links within a cluster are as wide as the rate they could carry; links between clusters are dark; of every device the
nearest refused neighbour is a dashed line, coloured by the bound that decided. Sized to be read at 900 pixels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from meshtune.engine.planned import LinkPlan, Plan
from meshtune.report.tables import bytes_text

COLOURS = (
    "#1f6f8b", "#d1495b", "#e6a532", "#5b8c5a", "#7a5195", "#c8683c", "#3f88c5", "#a44a8c", "#8a9a2b", "#5d5d9e",
    "#b0763a", "#2a9d8f",
)  # fmt: skip
REFUSALS = {
    "power": "#7d8790", "collision": "#b8860b", "range": "#b9a3c9", "size": "#6b8e9f", "given": "#7d8790",
}  # fmt: skip
ALONE, INK, LIGHT = "#777777", "#222222", "#eef1f2"
NAMED = 60
"""Devices up to which ids are written."""
WIDTH, DPI = 9.0, 110


def draw(plan: Plan) -> bytes:
    """Return the map of ``plan`` as PNG."""
    picture = io.BytesIO()
    compose(plan).savefig(picture, dpi=DPI, facecolor="white", format="png")
    return picture.getvalue()


def compose(plan: Plan) -> Any:
    """Return the map as a matplotlib figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(WIDTH, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    where = np.array([(device.x, device.y) for device in plan.devices])
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
    _devices(axis, plan, where)
    _links(axis, plan, where)
    _refusals(axis, plan, where)
    _scale(axis, middle[0] - half * 0.96, middle[1] - half * 1.02, 2 * half)
    largest = max(cluster.rate for cluster in plan.clusters)
    many = f"{_many(len(plan.devices), 'device')} in {_many(len(plan.clusters), 'cluster')}"
    axis.set_title(
        f"{plan.model}, rank {plan.rank}: {many}"
        f"\nan update of {bytes_text(plan.payload)} within {plan.gamma:g} s; collision rates up to {largest:.3g}",
        fontsize=12, loc="left",
    )  # fmt: skip
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=9, frameon=False)
    return figure


def _devices(axis: Any, plan: Plan, where: Any) -> None:
    named = len(plan.devices) <= NAMED
    size = 210 if named else max(4.0, 60 - len(plan.devices) / 20)
    colours = [_colour(plan, device.cluster) for device in plan.devices]
    axis.scatter(*where.T, s=size, c=colours, edgecolors="white", linewidths=1.2 if named else 0.3, zorder=5)
    if named:
        for device in plan.devices:
            axis.annotate(
                str(device.device), (device.x, device.y), ha="center", va="center_baseline", fontsize=9,
                color="white", fontweight="bold", zorder=6,
            )  # fmt: skip
    shown = [cluster for cluster in plan.clusters if len(cluster.members) > 1][: len(COLOURS)]
    for cluster in shown if named else ():
        axis.scatter(
            [], [], s=90, c=_colour(plan, cluster.cluster),
            label=f"cluster {cluster.cluster}: {_many(len(cluster.members), 'device')}",
        )  # fmt: skip
    lone = sum(len(cluster.members) == 1 for cluster in plan.clusters)
    if lone:
        axis.scatter([], [], s=90, c=ALONE, label=f"{_many(lone, 'device')} in no cluster")


def _colour(plan: Plan, cluster: int) -> str:
    return COLOURS[cluster % len(COLOURS)] if len(plan.clusters[cluster].members) > 1 else ALONE


def _links(axis: Any, plan: Plan, where: Any) -> None:
    pairs: dict[frozenset[int], LinkPlan] = {}
    for link in plan.links:  # a pair of which one end alone is served is a link all the same
        ends = frozenset((link.sender, link.receiver))
        if not link.between and (link.served or ends not in pairs):
            pairs[ends] = link
    within, thin = list(pairs.values()), _thin(plan)
    served = [link for link in within if link.served]
    if served:
        rates = np.array([link.capacity for link in served])
        lowest, highest = float(rates.min()), float(rates.max())
        colours = [_colour(plan, plan.devices[link.sender].cluster) for link in served]
        widths = [thin * _width(link.capacity, lowest, highest) for link in served]
        _lines(axis, where, served, colors=colours, linewidths=widths, alpha=0.65, zorder=2)
        for rate in dict.fromkeys((lowest, highest)):
            axis.plot(
                [], [], color=INK, alpha=0.65, linewidth=thin * _width(rate, lowest, highest),
                label=f"could carry {rate / 1e6:.3g} Mbit/s",
            )  # fmt: skip
    _styled(
        axis, where, [link for link in within if not link.served], "carries no update",
        colors="#d1495b", linestyles="dotted", linewidths=1.2, zorder=2,
    )  # fmt: skip
    between = [link for link in plan.links if link.between and link.sender < link.receiver]
    if between:
        _lines(axis, where, between, colors="white", linewidths=5.5 * thin, zorder=3)
    _styled(axis, where, between, "between clusters", colors=INK, linewidths=2.4 * thin, zorder=3)


def _refusals(axis: Any, plan: Plan, where: Any) -> None:
    nearest: dict[tuple[int, int], str] = {}
    for device in plan.devices:
        for one in device.refused[:1]:
            nearest.setdefault((min(device.device, one.device), max(device.device, one.device)), one.kind)
    for kind, colour in REFUSALS.items():
        pairs = [where[list(ends)] for ends, why in nearest.items() if why == kind]
        if pairs:
            _collect(axis, pairs, colors=colour, linestyles="dashed", linewidths=1.1, zorder=1)
            axis.plot([], [], color=colour, linestyle="dashed", linewidth=1.1, label=f"refused: {kind}")


def _styled(axis: Any, where: Any, links: Sequence[LinkPlan], label: str, **style: Any) -> None:
    if links:
        _lines(axis, where, links, **style)
        axis.plot(
            [], [], color=style["colors"], linewidth=style["linewidths"], linestyle=style.get("linestyles", "solid"),
            label=label,
        )  # fmt: skip


def _lines(axis: Any, where: Any, links: Sequence[LinkPlan], **style: Any) -> None:
    _collect(axis, [where[[link.sender, link.receiver]] for link in links], **style)


def _collect(axis: Any, lines: Sequence[Any], **style: Any) -> None:
    from matplotlib.collections import LineCollection

    axis.add_collection(LineCollection(lines, **style))


def _thin(plan: Plan) -> float:
    """Return how much of their width lines keep, so that many devices leave something to see between them."""
    return max(0.25, min(1.0, math.sqrt(2 * NAMED / len(plan.devices))))


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


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
