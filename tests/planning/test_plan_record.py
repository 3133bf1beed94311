"""A plan as JSON: all of it, and nothing infinite."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from meshtune.planning.plan_record import Plan, finite
from meshtune.planning.planner import plan
from plans import config


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(config())


def test_json_holds_everything_and_nothing_infinite(planned: Plan) -> None:
    tree = json.loads(planned.to_json())
    assert (tree["format"], tree["version"]) == ("meshtune-plan", 1)
    assert tree["devices"][2]["power"] == planned.devices[2].power
    assert [len(tree[key]) for key in ("devices", "clusters", "links", "methods")] == [4, 2, 6, 3]


def test_json_reads_back_as_the_record_and_has_no_number_that_is_none(planned: Plan) -> None:
    assert json.loads(planned.to_json()) == {
        "format": "meshtune-plan",
        "version": 1,
        **json.loads(json.dumps(asdict(planned))),
    }
    assert "ü" in replace(planned, model="ü").to_json()
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(planned, run_energy=math.inf).to_json()
    assert [finite(value) for value in (2, 0.5, -0.0, math.inf, -math.inf, math.nan)] == [2.0, 0.5, 0.0] + [None] * 3
