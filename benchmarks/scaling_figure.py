"""The picture of docs/scaling.md: what plans found as points, the formulas as lines, log against log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scaling_forms as forms

if TYPE_CHECKING:
    from scaling_found import Planned

COLOURS = ("#1f6f8b", "#d1495b", "#e6a532", "#5b8c5a", "#7a5195")
MARKS = ("o", "s", "^")
GROUPS = 30


def draw(found: Mapping[str, tuple[forms.Piece, Sequence[Planned]]], path: Path) -> Path:
    """Draw what each model's plans found into ``path``; a row of three panels a model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(14, 5 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(found), 3, squeeze=False)
    for row, (name, (piece, plans)) in zip(axes, found.items(), strict=True):
        _sends(row[0], piece, plans)
        _stores(row[1], piece, plans)
        _takes(row[2], plans)
        for axis, what in zip(row, ("a device sends, bytes", "a device stores, bytes", "takes, seconds"), strict=True):
            axis.set_title(f"{name}, rank {piece.rank}: {what}", fontsize=9)
            axis.set_xlabel("devices", fontsize=8)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.grid(alpha=0.3)
            axis.tick_params(labelsize=8)
            axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, facecolor="white")
    return path


def _sends(axis: Any, piece: forms.Piece, plans: Sequence[Planned]) -> None:
    counts = [one.devices for one in plans]
    shown = (
        ("between", "between clusters, an exchange"),
        ("once", "announcements, once"),
        ("within", "within its cluster, a round"),
    )
    axis.plot(counts, [one.busiest for one in plans], MARKS[1], color=COLOURS[3], markersize=4, label="busiest device")
    for (key, label), colour in zip(shown, COLOURS, strict=False):
        axis.plot(counts, [one.pairs[key].formula for one in plans], color=colour, linewidth=1)
        axis.plot(counts, [one.pairs[key].found for one in plans], MARKS[0], color=colour, markersize=4, label=label)
    # No plan makes this: clusters as these, and G sums over each link.
    would = [forms.by_group(piece, one.members, GROUPS) for one in plans]
    axis.plot(
        counts, would, color=COLOURS[4], linestyle="--", linewidth=1, label=f"were {GROUPS} groups summed: formula"
    )


def _stores(axis: Any, piece: forms.Piece, plans: Sequence[Planned]) -> None:
    counts = np.geomspace(plans[0].devices, max(plans[-1].devices, 2 * plans[0].devices), 30)
    axis.plot(counts, piece.held * counts, color=COLOURS[0], label="all it heard, as a run holds it")
    axis.plot(counts, piece.packed * counts, color=COLOURS[1], label="the same, as it came")
    cores = [forms.core(int(count), 8, piece.sketch) for count in counts]
    axis.plot(counts, cores, color=COLOURS[2], label="the router's inner matrix, 8 groups")
    bank = np.full_like(counts, piece.packed * GROUPS)
    axis.plot(counts, bank, color=COLOURS[4], linestyle="--", label=f"one of each of {GROUPS} groups")


def _takes(axis: Any, plans: Sequence[Planned]) -> None:
    counts = [one.devices for one in plans]
    shown = (
        ([one.round for one in plans], "a round"),
        ([one.exchange or None for one in plans], "an exchange between clusters, at least"),
        ([1.5 * 0.5 * max(1, one.hops) for one in plans], "hops across, 1.5 Γ each"),
        ([one.seconds for one in plans], "planning it all, one core"),
    )
    for (values, label), colour in zip(shown, COLOURS, strict=False):
        axis.plot(counts, values, MARKS[0] + "-", color=colour, markersize=4, linewidth=1, label=label)
