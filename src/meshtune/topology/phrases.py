"""Figures and lists in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence


def listed(ids: Sequence[int], most: int = 6) -> str:
    """Return ids as prose; beyond ``most``, how many more there are."""
    if len(ids) > most:
        return ", ".join(map(str, ids[: most - 1])) + f" and {len(ids) - most + 1} more"
    return " and ".join([*([", ".join(map(str, ids[:-1]))] if len(ids) > 1 else []), str(ids[-1])])


def sized(clusters: Sequence[Sequence[int]]) -> str:
    """Return the sizes of ``clusters`` in words."""
    least, largest = min(map(len, clusters)), max(map(len, clusters))
    devices = f"{largest} {'device' if largest == 1 else 'devices'}"
    return devices if least == largest else f"{least} to {devices}"


def figure(value: float) -> str:
    """Return a rate with three significant digits."""
    return f"{value:.3g}"


def watts(value: float) -> str:
    """Return a power with a suitable unit and three significant digits."""
    if math.isinf(value):
        return "more than any power"
    for unit, size in (("W", 1.0), ("mW", 1e-3), ("µW", 1e-6)):
        if float(f"{value / size:.3g}") >= 1:  # 0.9996 W read 1 W
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} nW"
