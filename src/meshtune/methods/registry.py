"""The names of the federated methods, without importing their dependencies: for help texts and validation."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from meshtune.errors import UserError, check_name
from meshtune.printable import printable

if TYPE_CHECKING:
    from meshtune.methods.base import Method

CATALOGUE: dict[str, str] = {
    "proposed": "sparse experts after orthogonal projections: a part averaged by all, the tasks' own routed",
    "lora": "plain LoRA, A and B trained and averaged with the neighbours' (the usual baseline)",
    "oracle": "the experts of 'proposed' with a perfect router: its ceiling",
    "bank": "'proposed' without the part in common: nothing is averaged across tasks",
    "hard_moe": "the experts of 'bank' with a perfect router: its ceiling",
    "hard_moe_lora": "one dense LoRA expert per task and a perfect router: the paper's hard-routing MoE",
    "local": "own sparse expert only, no exchange",
    "paper": "the paper's own: an A per device (eq. 16), expansions averaged in a cluster (eq. 24), routed by eq. 26",
    "paper_masked": "'paper', each position averaged over the devices whose mask uses it",
    "single_cluster": "'paper' with all devices in one cluster",
    "shared_b": "the averaged expansion of 'paper' behind the routed projections only",
    "lori": "LoRI: frozen A, mask by magnitude after a whole dense run, updates merged by weight",
    "lori_uniform": "'lori' with the same density in every layer",
    "ffa": "FFA-LoRA: one frozen A for all, B averaged",
    "alternating": "RoLoRA: A and B of LoRA trained, sent and averaged in turn, one of them a round",
    "fedex": "FedEx-LoRA: 'lora' with the mean of the products B A, kept beside the mean A and B",
    "fed_sb": "Fed-SB: only an r x r core between a fixed A and a fixed B of every layer, averaged",
    "fpft": "all weights trained and averaged; states on disk",
    "central": "one LoRA adapter on the pooled rows of all devices",
}
"""Name to one-line description of the methods of this package, in the order of tables."""

ENTRY_POINTS = "meshtune.methods"
"""The entry point group by which other packages add methods: ``name = "package.module:METHOD"``."""
_ELSEWHERE = {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in CATALOGUE}
METHODS = CATALOGUE | {name: f"from {point.value.partition(':')[0]}" for name, point in sorted(_ELSEWHERE.items())}
"""The same with the methods of other packages added."""


def check_method(name: str) -> str:
    """Return ``name``.

    Raises:
        UserError: there is no such method; the message names the nearest.
    """
    return check_name("method", name, METHODS)


def get_method(name: str) -> Method:
    """Return the method called ``name``.

    Built-in methods are ``METHOD`` in ``meshtune.methods.catalogue.<name>``; other packages declare theirs as entry
    points.

    Raises:
        UserError: there is no such method, or another package's entry point cannot be loaded or is not a method.
    """
    if check_method(name) not in _ELSEWHERE:
        method: Method = importlib.import_module(f"meshtune.methods.catalogue.{name}").METHOD
        return method
    from meshtune.methods.base import Method as Base

    point = _ELSEWHERE[name]
    try:
        found = point.load()
    except Exception as error:  # third-party code may fail in any way
        raise UserError(
            f"method {name} cannot be loaded from {point.value} ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(found, Base) or found.name != name:
        raise UserError(f"method {name}: {point.value} is not a method of that name, but {printable(repr(found), 60)}")
    return found
