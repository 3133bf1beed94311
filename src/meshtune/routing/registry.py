"""Routers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from meshtune.errors import check_name
from meshtune.routing.arrow import ArrowRouter
from meshtune.routing.config import RouterConfig
from meshtune.routing.retrieval import RetrievalRouter
from meshtune.routing.routers import CosineRouter, Router, WhitenedRouter
from meshtune.routing.statistics import Statistics

Sources = Mapping[str, Sequence[Statistics]]

ROUTERS: dict[str, Callable[[Sources, RouterConfig], Router]] = {
    "whitened": lambda sources, settings: WhitenedRouter(sources, settings.shrinkage, settings.temperature),
    "top1": lambda sources, settings: WhitenedRouter(sources, settings.shrinkage, settings.temperature, top1=True),
    "cosine": lambda sources, settings: CosineRouter(sources),
    "arrow": lambda sources, settings: ArrowRouter(sources, settings.arrow_top_k, settings.arrow_temperature),
    "retrieval": lambda sources, settings: RetrievalRouter(sources),
}
"""Name to (sources, settings) -> router. The oracle needs the true groups and is separate."""

DEFAULTS = RouterConfig()


def make_router(name: str, sources: Sources, settings: RouterConfig = DEFAULTS) -> Router:
    """Return the router called ``name``, fitted to ``sources``.

    Raises:
        UserError: there is no such router (the message names the nearest), or it needs what the sources did not
            announce.
    """
    return ROUTERS[check_name("router", name, ROUTERS)](sources, settings)
