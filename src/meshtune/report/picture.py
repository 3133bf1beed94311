"""An empty figure that needs no display, and a figure as PNG."""

from __future__ import annotations

import io
import warnings
from typing import Any

from meshtune.printable import printable

WIDTH = 9.0
"""Inches: pictures are read at 900 pixels."""


def blank(height: float) -> Any:
    """Return an empty matplotlib figure of ``height`` inches with automatic layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(text: str, limit: int = 20) -> str:
    """Return an untrusted name for a picture: on one line, at most ``limit`` characters, no dollar formulas."""
    return printable(text, limit).replace("$", r"\$")


def png(figure: Any, dpi: int) -> bytes:
    """Return a matplotlib figure as PNG; characters missing from its font are drawn as boxes."""
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure.savefig(picture, dpi=dpi, facecolor="white", format="png")
    return picture.getvalue()
