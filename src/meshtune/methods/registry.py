"""The names of the federated methods, without importing what they need: for help texts and validation."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from meshtune.errors import UserError

if TYPE_CHECKING:
    from meshtune.methods.base import Method

METHODS: dict[str, str] = {
    "proposed": "sparse experts with orthogonal projections, kept apart in a bank and answered through a router",
    "lora": "plain LoRA, A and B trained and averaged with the neighbours' (the usual baseline)",
    "hard_moe": "one sparse expert per task and a perfect router: the ceiling of 'proposed'",
    "hard_moe_lora": "one dense LoRA expert per task and a perfect router: the paper's hard-routing MoE",
    "local": "own sparse expert only, no exchange",
}
"""Name to one-line description, in the order of tables."""


def check_method(name: str) -> str:
    """Return ``name``.

    Raises:
        UserError: there is no such method; names the nearest.
    """
    if name in METHODS:
        return name
    near = difflib.get_close_matches(name, METHODS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METHODS)}"
    raise UserError(f"there is no method called {name}: {hint}")


def get_method(name: str) -> Method:
    """Return the method called ``name``; it lives in ``meshtune.methods.<name>`` as ``METHOD``.

    Raises:
        UserError: there is no such method.
    """
    method: Method = importlib.import_module(f"meshtune.methods.{check_method(name)}").METHOD
    return method
