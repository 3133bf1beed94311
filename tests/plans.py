"""A small plan to try things on: four devices, one of them out of range, and Lemma 1 written out for it."""

from __future__ import annotations

from functools import cache
from typing import Any

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.model.skeleton import skeleton
from meshtune.planning.model_sizes import method_sizes
from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan

# Three devices near each other, one 400 m away. By hand: squared distances 900, 1600, 2500.
SQUARE = ((0.0, 0.0), (30.0, 0.0), (0.0, 40.0), (400.0, 0.0))
W, GAMMA, P_MAX = 1e5, 0.5, 0.01
N0 = 10 ** (-174 / 10) / 1000


def config(**changes: Any) -> RunConfig:
    tree = {
        "model": {"name": "tiny-random"},
        "tasks": ["boolq", "piqa"],
        "devices": {"count": 4},
        "adapter": {"rank": 4, "budget": "uniform"},
        "train": {"rounds": 4, "steps": 3, "batch": 2, "max_tokens": 50},
        "radio": {"bandwidth": W, "range": 100},
        "places": {"positions": SQUARE},
        "clusters": {"rate": "expected"},
        "compute": {"cycles_per_token": 1e7, "frequency": 1e9},
        "methods": ["bank", "lora", "local"],
    }
    for key, value in changes.items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) and key in tree else value  # type: ignore[dict-item]
    return validate(tree, "the test")


@cache
def bits() -> float:
    """Bits of an update that links are planned for."""
    shape = skeleton(config().model)
    return 8 * method_sizes(shape, "bank", config().adapter, config().exchange).update


def total(u: int, *squares: float) -> float:
    """Watts to u neighbours, as far away as the roots of ``squares``."""
    return N0 * W / u * (2 ** (bits() * u / (W * GAMMA)) - 1) * sum(squares)


def chain(**changes: Any) -> Plan:
    """Clusters 0-1, 2-3 and 4-5 in a row, 60 m apart; range 70 m joins only next ones."""
    where = ((0, 0), (10, 0), (70, 0), (80, 0), (140, 0), (150, 0))
    tree = {"devices": {"count": 6}, "places": {"positions": where}, "clusters": {"rate": "expected", "most": 2}}
    return plan(config(**{**tree, "radio": {"bandwidth": W, "range": 70}, **changes}))
