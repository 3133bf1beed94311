"""Settings that nothing reads are told."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.demo_config import demo_config
from meshtune.config.idle import OF_THE_AIR, idle_note
from meshtune.simulator.run_inputs import load_inputs
from whole_runs import Watch

OTHERS: dict[str, Any] = {
    "places.radius": 5,
    "places.positions": [[0, 0]],
    "places.file": "here.csv",
    "places.mobility": "waypoint",
    "places.speed": [1, 2],
    "places.pause": 3,
    "compute.cycles_per_token": 1e6,
    "compute.flops_per_cycle": 2,
    "compute.epsilon": 10,
    "compute.c_max": 1e9,
    "compute.frequency": 1e9,
    "compute.kappa": 0,
    "compute.spread": 2,
    "clusters.kind": "single",
    "clusters.s_max": 0.5,
    "clusters.rate": "expected",
    "clusters.tie_break": "none",
    "clusters.most": 2,
    "clusters.inner_rounds": 5,
    "clusters.masks": "negotiated",
    "clusters.reform": 2,
}
"""Every key that needs a radio, and a value that is not its default."""
REFUSED = {"clusters.masks", "clusters.reform"}  # test_negotiation.py and test_reform.py
NEEDS = {"clusters.reform": "places.mobility", "compute.c_max": "compute.epsilon"}


def config(*keys: str, **more: Any) -> Any:
    tree: dict[str, Any] = {"tasks": ["claims"], **more}
    for key in keys:
        group, _, name = key.partition(".")
        tree.setdefault(group, {})[name] = OTHERS[key]
    return validate(tree, "test")


@pytest.mark.parametrize("key", [key for key in OTHERS if key not in REFUSED])
def test_a_key_of_the_air_is_told_where_there_is_none(key: str) -> None:
    keys = [key, NEEDS[key]] if key in NEEDS else [key]
    note = idle_note(config(*keys))
    assert note is not None
    assert set(note.partition(" change")[0].split(", ")) == set(keys)
    assert ("changes nothing" in note) == (len(keys) == 1)
    assert idle_note(config(*keys, radio={})) is None


def test_every_key_of_the_air_is_known_here() -> None:
    fresh = config()
    assert {f"{group}.{key}" for group in OF_THE_AIR for key in type(getattr(fresh, group)).model_fields} == set(OTHERS)
    assert idle_note(fresh) is None


def test_the_air_is_taken_out_of_the_demo_by_one_key() -> None:
    assert idle_note(demo_config()) is None
    assert idle_note(demo_config(["radio=null"])) == (
        "places.radius, compute.spread change nothing without a radio, as links are free: set radio={}, or leave them "
        "out"
    )


def test_a_run_says_it_once(settings: dict[str, Any]) -> None:
    watcher = Watch()
    load_inputs(validate({**settings, "places": {"file": "nowhere.csv"}}, "test"), watcher)
    told = [text for text in watcher.texts if "places.file" in text]
    assert told == ["places.file changes nothing without a radio, as links are free: set radio={}, or leave it out"]
