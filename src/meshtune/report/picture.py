"""An empty figure that needs no display, and a figure as PNG."""

from __future__ import annotations

import io
from typing import Any

WIDTH = 9.0
"""Inches: pictures are read at 900 pixels."""


def blank(height: float) -> Any:
    """Return an empty matplotlib figure of ``height`` inches that arranges itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Any, dpi: int) -> bytes:
    """Return a matplotlib figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi, facecolor="white", format="png")
    return picture.getvalue()
