"""Routers by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from meshtune.errors import UserError
from meshtune.routing.routers import CosineRouter, Router, WhitenedRouter
from meshtune.routing.statistics import Statistics

Sources = Mapping[str, Sequence[Statistics]]

ROUTERS: dict[str, Callable[[Sources, float, float], Router]] = {
    "whitened": lambda sources, shrinkage, temperature: WhitenedRouter(sources, shrinkage, temperature),
    "top1": lambda sources, shrinkage, temperature: WhitenedRouter(sources, shrinkage, temperature, top1=True),
    "cosine": lambda sources, shrinkage, temperature: CosineRouter(sources),
}
"""Name to (sources, shrinkage, temperature) -> router. The oracle needs the truth and stands apart."""


def make_router(name: str, sources: Sources, shrinkage: float = 0.5, temperature: float = 8.0) -> Router:
    """Return the router called ``name``, fitted to ``sources``.

    Raises:
        UserError: there is no such router; names the nearest.
    """
    if name not in ROUTERS:
        near = difflib.get_close_matches(name, ROUTERS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(ROUTERS)}"
        raise UserError(f"there is no router called {name}: {hint}")
    return ROUTERS[name](sources, shrinkage, temperature)
