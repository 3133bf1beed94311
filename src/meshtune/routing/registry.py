"""The routers by name, without importing what they need: for help texts and validation."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def _in(module: str) -> Any:
    return importlib.import_module(f"meshtune.routing.{module}")


ROUTERS: dict[str, Callable[[Any, Any], Any]] = {
    "whitened": lambda sources, own: _in("routers").WhitenedRouter(sources, own.shrinkage, own.temperature),
    "top1": lambda sources, own: _in("routers").WhitenedRouter(sources, own.shrinkage, own.temperature, top1=True),
    "cosine": lambda sources, own: _in("routers").CosineRouter(sources),
    "arrow": lambda sources, own: _in("arrow").ArrowRouter(sources, own.arrow_top_k, own.arrow_temperature),
    "spectr": lambda sources, own: _in("spectr").SpectrRouter(sources, own.arrow_top_k, own.arrow_temperature),
    "lorauter": lambda sources, own: _in("lorauter").LorauterRouter(
        sources, own.lorauter_top_k, own.lorauter_temperature
    ),
    "retrieval": lambda sources, own: _in("retrieval").RetrievalRouter(sources),
}
"""Name to (sources, settings) -> router; the module is imported on the first call. The oracle needs the true groups and
is separate."""
EMBEDDING = {"retrieval"}
"""The routers that use the prompts' embeddings; devices announce these only for them."""
