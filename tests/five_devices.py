"""A plan of five devices whose places are given: three in a cluster, two by themselves."""

from __future__ import annotations

import functools
from typing import Any

from meshtune.config.config_file import validate
from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan

TREE: dict[str, Any] = {
    "model": {"name": "tiny-random"},
    "tasks": ["boolq"],
    "adapter": {"rank": 4},
    "radio": {"range": 100.0},
    "places": {"positions": [[0, 0], [30, 0], [0, 40], [110, 0], [900, 0]]},
    "devices": {"count": 5},
    "clusters": {"most": 3},
    "methods": ["bank"],
}


@functools.cache
def planned() -> Plan:
    return plan(validate(TREE, "the test"))
