"""What a sentence tells somebody to do is done here: the same configuration with the remedy is accepted."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from meshtune.config.config_file import override, validate
from meshtune.errors import UserError
from meshtune.planning.planner import plan
from meshtune.topology.graphs import neighbours

BASE: dict[str, Any] = {
    "tasks": ["claims", "sums"],
    "model": {"name": "qwen2.5-1.5b"},
    "devices": {"count": 4},
    "train": {"rounds": 2},
}
WAYPOINT = {"mobility": "waypoint"}
APART = [[0, 0], [9, 9], [5, 5], [1, 7]]

# What is wrong, what the sentence says, and what somebody does who follows it; the last is joined to the first.
READ = [
    (
        {"graph": {"kind": "geometric"}},
        "set graph.radius in metres",
        {"graph": {"radius": 50}, "radio": {}, "clusters": {"kind": "single"}},
    ),
    ({"graph": {"radius": 5}}, "leave it out", {"graph": {"radius": None}}),
    (
        {"graph": {"radius": 5}},
        "set graph.kind=geometric",
        {"graph": {"kind": "geometric"}, "radio": {}, "clusters": {"kind": "single"}},
    ),
    (
        {"graph": {"kind": "geometric", "radius": 9}},
        "set radio={} and clusters.kind=single",
        {"radio": {}, "clusters": {"kind": "single"}},
    ),
    ({"graph": {"kind": "ring"}, "radio": {}}, "set clusters.kind=single", {"clusters": {"kind": "single"}}),
    ({"graph": {"kind": "ring"}, "radio": {}}, "leave out graph or radio", {"radio": None}),
    ({"faults": {"late": 0.5}}, "set radio={}", {"radio": {}}),
    ({"round_seconds": 5}, "set radio={}", {"radio": {}}),
    ({"round_seconds": 5}, "leave it out", {"round_seconds": None}),
    ({"adapter": {"density": "planned"}}, "set radio={}", {"radio": {}}),
    ({"adapter": {"density": "planned"}}, r"give a number in \(0, 1\]", {"adapter": {"density": 0.5}}),
    ({"clusters": {"masks": "negotiated"}}, "set radio={}", {"radio": {}}),
    ({"clusters": {"masks": "negotiated"}}, "or clusters.masks=own", {"clusters": {"masks": "own"}}),
    ({"clusters": {"reform": 2}, "radio": {}}, "set places.mobility=waypoint", {"places": WAYPOINT}),
    ({"clusters": {"reform": 2}, "radio": {}}, "leave it out", {"clusters": {"reform": None}}),
    ({"devices": {"count": None, "per_task": 150_000}}, "lower it", {"devices": {"per_task": 100_000}}),
    ({"devices": {"count": None, "per_task": 150_000}}, "set devices.count", {"devices": {"count": 150_000}}),
    ({"eval": {"samples": 3}}, "set eval.temperature=0.8", {"eval": {"temperature": 0.8}}),
    (
        {"eval": {"pass_at": [10]}},
        "set eval.samples=10 and eval.temperature=0.8",
        {"eval": {"samples": 10, "temperature": 0.8}},
    ),
    ({"eval": {"pass_at": [10], "temperature": 1}}, "set eval.samples=10$", {"eval": {"samples": 10}}),
    (
        {"eval": {"temperature": 1e-300}},
        "give 0, which takes the likeliest token, or 0.001",
        {"eval": {"temperature": 0.001}},
    ),
    ({"radio": {"channel": "trace"}}, "set radio.trace=FILE", {"radio": {"trace": "gains.csv"}}),
    ({"radio": {"trace": "gains.csv"}}, "set radio.channel=trace", {"radio": {"channel": "trace"}}),
    (
        {"places": {"positions": APART, "file": "p.csv"}},
        "keep places.positions or places.file",
        {"places": {"file": None}},
    ),
    ({"places": {"speed": [1e4, 1e5], **WAYPOINT}}, "lower the speed", {"places": {"speed": [1, 2]}}),
    ({"places": {"speed": [1e4, 1e5], **WAYPOINT}}, "raise places.radius or places.pause", {"places": {"pause": 1}}),
    (
        {"compute": {"epsilon": 1, "cycles_per_token": 1}},
        "keep compute.cycles_per_token or",
        {"compute": {"epsilon": None}},
    ),
    ({"compute": {"c_max": 1e9}}, "set compute.epsilon too", {"compute": {"epsilon": 1}}),
    (
        {"tasks": ["claims", {"task": "claims"}]},
        "use devices.per_task for several",
        {"tasks": ["claims"], "devices": {"per_task": 2}},
    ),
    (
        {"tasks": ["openai_humaneval"]},
        r"\{task: mbpp, also: \[openai_humaneval\]\}",
        {"tasks": [{"task": "mbpp", "also": ["openai_humaneval"]}]},
    ),
    (
        {"tasks": ["openai_humaneval"]},
        "or give it a train file",
        {"tasks": [{"task": "openai_humaneval", "train": "mine.jsonl"}]},
    ),
    ({"tasks": [{"task": "piqa", "also": ["piqa"]}]}, "take it out of also", {"tasks": ["piqa"]}),
    ({"radio": {"power_dbm": 1e5}}, "give -200 to 100 dBm$", {"radio": {"power_dbm": 100}}),
    ({"places": {"radius": 1e300}}, r"give 0.001 to 1e\+08 m$", {"places": {"radius": 1e8}}),
    ({"compute": {"frequency": 1e-300}}, r"give 1000 to 1e\+13 Hz$", {"compute": {"frequency": 1000}}),
    ({"compute": {"kappa": 1e300}}, "give 0 to 1e-18 J s²$", {"compute": {"kappa": 1e-18}}),
]

PLANNED = [
    (
        {"adapter": {"rank": 2000}},
        "adapter.rank=2000 is above the 1536 inputs .*: lower it to 768$",
        {"adapter": {"rank": 768}},
    ),
    ({"adapter": {"rank": 2000, "projection": "gaussian"}}, "lower it to 1536$", {"adapter": {"rank": 1536}}),
    ({"adapter": {"rank": 1000}}, "lower adapter.rank to 768 or", {"adapter": {"rank": 768}}),
    ({"adapter": {"rank": 1000}}, "set adapter.projection=gaussian", {"adapter": {"projection": "gaussian"}}),
    ({"methods": ["local"]}, "add one that does, like proposed", {"methods": ["local", "bank"]}),
    (
        {"compute": {"epsilon": 26214.444444, "c_max": 1}},
        "raise it to at least 5.246e\\+05",
        {"compute": {"c_max": 5.246e5}},
    ),
    ({"places": {"positions": APART[:2]}}, "places 2 devices and there are 4", {"places": {"positions": APART}}),
    (
        {"places": {"positions": [[900, 0], *APART[1:]], **WAYPOINT}},
        "raise places.radius",
        {"places": {"radius": 1000}},
    ),
    (
        {"places": {"positions": [[900, 0], *APART[1:]], **WAYPOINT}},
        "set places.mobility=static",
        {"places": {"mobility": "static"}},
    ),
    (
        {
            "devices": {"count": 600},
            "graph": {"kind": "ring", "neighbours": 5},
            "clusters": {"kind": "single"},
            "radio": {"range": 60},
        },
        "set clusters.kind=agnes and graph={}$",
        {"clusters": {"kind": "agnes"}, "graph": None},
    ),
    (
        {"devices": {"count": 600}, "clusters": {"kind": "single"}},
        "set clusters.kind=agnes",
        {"clusters": {"kind": "agnes"}, "radio": {"range": 60}},
    ),
]


def joined(tree: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(tree)
    for key, value in change.items():
        if isinstance(value, dict):
            found[key] = joined(found.get(key) or {}, value)
        else:
            found[key] = value
    return {key: value for key, value in found.items() if key != "graph" or value is not None}


@pytest.mark.parametrize(("wrong", "words", "remedy"), READ, ids=lambda part: str(part)[:40])
def test_a_remedy_is_accepted(wrong: dict[str, Any], words: str, remedy: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=words):
        validate(joined(BASE, wrong), "here")
    assert validate(joined(joined(BASE, wrong), remedy), "here").tasks


@pytest.mark.parametrize(("wrong", "words", "remedy"), PLANNED, ids=lambda part: str(part)[:40])
def test_a_remedy_lets_a_plan_be_made(wrong: dict[str, Any], words: str, remedy: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=words):
        plan(validate(joined(BASE, wrong), "here"))
    assert plan(validate(joined(joined(BASE, wrong), remedy), "here")).run_seconds > 0


def test_the_range_that_is_proposed_is_narrow_enough() -> None:
    many = joined(BASE, {"devices": {"count": 2000}, "radio": {}})
    with pytest.raises(UserError, match=r"set radio\.range, for example to") as caught:
        plan(validate(many, "here"))
    found = re.search(r"to ([0-9.e+]+) m", str(caught.value))
    assert found is not None
    assert plan(override(many, [f"radio.range={found[1]}"], "here")).clusters


def test_a_random_graph_has_as_many_neighbours_as_it_is_told_to_have() -> None:
    with pytest.raises(UserError, match=r"lower it or use graph\.kind=full"):
        neighbours("random", 4, 4, 0)
    assert len(neighbours("random", 4, 3, 0)) == len(neighbours("full", 4, 4, 0)) == 4
