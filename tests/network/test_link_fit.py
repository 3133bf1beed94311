"""Updates that do not fit the air are told before the first round, and the printed remedy makes them fit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.network.link_fit import crowded
from meshtune.network.site import Site, site_of
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from meshtune.wire.payload_sizes import update_bytes
from whole_runs import Watch, header

SMOLLM2 = update_bytes(248_832, "bfloat16")
"""Bytes of an update of SmolLM2-135M under `bank`, at the default rank and density."""
TREE: dict[str, Any] = {"tasks": ["claims", "sums", "crowds", "animals"], "radio": {}}


def sited(**radio: Any) -> tuple[Site, dict[int, tuple[int, ...]]]:
    config = validate({**TREE, "radio": radio}, "test")
    assert config.radio is not None
    everyone = {device: tuple(d for d in range(4) if d != device) for device in range(4)}
    return site_of(config, config.radio), everyone


def test_the_default_radio_carries_the_default_density_of_a_small_model() -> None:
    site, graph = sited()
    assert crowded(site, graph, {"bank": SMOLLM2}) == []
    assert crowded(site, {0: (), 1: ()}, {"bank": 2 * 10**12}) == []


@pytest.mark.parametrize(("bandwidth", "missing"), [(360e3, 8), (2e3, 12)])
def test_what_does_not_fit_is_told_with_a_setting_that_mends_it(bandwidth: float, missing: int) -> None:
    site, graph = sited(bandwidth=bandwidth)
    [note] = crowded(site, graph, {"bank": SMOLLM2, "tiny": 150})
    assert note.startswith("an update of bank has 497,")
    assert f"does not fit on {missing} of 12 links within radio.gamma=0.5 s" in note
    found = re.search(r"set radio\.(\w+)=(\S+),", note)
    assert found is not None
    site, graph = sited(**{"bandwidth": bandwidth, found[1]: float(found[2])})
    assert crowded(site, graph, {"bank": SMOLLM2}) == []


def test_a_run_says_so_before_its_first_round(tmp_path: Any) -> None:
    tree = {
        **TREE,
        "model": {"name": "tiny-random"},
        "tasks": ["claims", "sums"],
        "devices": {"count": 3},
        "methods": ["bank", "lora"],
        "adapter": {"rank": 4, "budget": "uniform", "calibration_batches": 1},
        "router": {"prompts": 4, "also": []},
        "train": {"rounds": 1, "steps": 1, "batch": 1, "lr": 1e-3, "lora_lr": 1e-3, "max_tokens": 32},
        "eval": {"questions": 1, "write": False},
        "radio": {"bandwidth": 2e4, "fading": "none"},
        "clusters": {"s_max": 1.0},
    }
    watch = Watch()
    folder = run(validate(tree, "test"), tmp_path / "narrow", watch)
    told = [text for text in watch.texts if "does not fit" in text]
    assert len(told) == 1
    assert told[0].startswith("an update of lora has ")
    clocks = {name: method["clock"] for name, method in header(folder)["methods"].items()}
    assert f"does not fit on {clocks['lora']['outages']} of 6 links" in told[0]
    assert clocks["bank"]["outages"] == 0
    watch = Watch()
    run(validate({**tree, "radio": {"bandwidth": 2e2, "fading": "none"}}, "test"), tmp_path / "none", watch)
    assert any(text.startswith("an update of bank has ") for text in watch.texts)
    run(validate({**tree, "radio": {"fading": "none"}}, "test"), tmp_path / "wide", Silent())
