"""The names of the federated methods, without importing what they need: for help texts and validation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from meshtune.errors import check_name

if TYPE_CHECKING:
    from meshtune.methods.base import Method

METHODS: dict[str, str] = {
    "proposed": "sparse experts with orthogonal projections, kept apart in a bank and answered through a router",
    "lora": "plain LoRA, A and B trained and averaged with the neighbours' (the usual baseline)",
    "hard_moe": "one sparse expert per task and a perfect router: the ceiling of 'proposed'",
    "hard_moe_lora": "one dense LoRA expert per task and a perfect router: the paper's hard-routing MoE",
    "local": "own sparse expert only, no exchange",
    "paper": "the paper's own: sparse expansions averaged in a cluster (eq. 24), prompts routed by eq. 26",
    "paper_masked": "'paper', each position averaged over the devices whose mask uses it",
    "single_cluster": "'paper' with all devices in one cluster",
    "shared_b": "the averaged expansion of 'paper' behind the routed projections only",
    "lori": "LoRI: frozen A, mask by magnitude after a whole dense run, updates merged by weight",
    "lori_uniform": "'lori' with the same density in every layer",
    "ffa": "FFA-LoRA: one frozen A for all, B averaged",
    "fpft": "all weights trained and averaged; states on disk",
    "central": "one LoRA adapter on the pooled rows of all devices",
}
"""Name to one-line description, in the order of tables."""


def check_method(name: str) -> str:
    """Return ``name``.

    Raises:
        UserError: there is no such method; names the nearest.
    """
    return check_name("method", name, METHODS)


def get_method(name: str) -> Method:
    """Return the method called ``name``; it lives in ``meshtune.methods.catalogue.<name>`` as ``METHOD``.

    Raises:
        UserError: there is no such method.
    """
    method: Method = importlib.import_module(f"meshtune.methods.catalogue.{check_method(name)}").METHOD
    return method
