"""What a plan tells its reader besides numbers, word by word."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.adapter.sites import sizes
from meshtune.model.skeleton import skeleton
from meshtune.planning.planner import plan
from plans import GAMMA, SQUARE, W, config


def test_what_is_assumed_is_said() -> None:
    bare = config(radio=None, places={"positions": SQUARE, "mobility": "waypoint"}, adapter={"budget": "entropy"})
    notes = plan(bare).notes
    assert any("no radio: planning uses the defaults" in note for note in notes)
    assert any("`density_from`" in note for note in notes)
    assert any("devices move" in note for note in notes)
    lossy = plan(config(radio={"bandwidth": W, "range": 100, "loss": {"probability": 0.5, "retransmissions": 1}}))
    assert any("sent 1.5 times on average" in note and "33.3% of Gamma" in note for note in lossy.notes)
    assert lossy.planned_gamma == pytest.approx(GAMMA / 1.5)
    assert any("clusters.rate=rows needs masks" in note for note in plan(config(clusters={"rate": "rows"})).notes)


def test_what_negotiating_does_to_densities_is_exact() -> None:
    """Devices 0, 1, 2 are in one cluster, of two groups: a device may have half of a layer."""

    def told(**changes: Any) -> str:
        as_others = {"projection": "group", "masks": "calibrated"}
        changes = {"methods": ["bank", "paper"], "paper": as_others, **changes}
        notes = plan(config(**{**changes, "clusters": {"rate": "expected", "s_max": 1.0, "masks": "negotiated"}})).notes
        (note,) = [note for note in notes if note.startswith("clusters.masks=negotiated")]
        return note

    sparse = told()
    assert sparse == (
        "clusters.masks=negotiated: under paper the masks of different groups of a cluster collide nowhere; with up to "
        "2 groups in a cluster a device may train 1/2 of a layer there, and none wants more, so densities stay; the "
        "collision rates here are those before, and other methods'"
    )
    positions = sum(sizes(skeleton(config().model).layers, 4))
    dense = told(adapter={"density": 0.75})
    assert f"so that one trains up to {round(0.75 * positions) - positions // 2:,} values fewer;" in dense
    assert "with up to" not in told(tasks=["boolq"])
    assert told(methods=["bank"]).startswith("clusters.masks=negotiated changes nothing: no method of the run adds")


def test_a_plain_plan_says_that_computing_is_an_upper_bound_and_no_more() -> None:
    near = {"positions": [[0, 0], [30, 0], [0, 40], [30, 40]]}
    quiet = plan(config(radio={"bandwidth": 1e7}, places=near))
    assert quiet.notes == (
        "computing is an upper bound: 3 steps of 2 rows (train.steps, train.batch), each row taken to be 50 tokens "
        "long (train.max_tokens)",
    )
    assert (
        plan(config(radio={"bandwidth": 1e7}, places=near, compute={"cycles_per_token": None, "epsilon": 1.0})).notes
        == ()
    )


def test_what_a_shared_band_and_a_broadcast_do_is_said() -> None:
    shared = plan(config(radio={"spectrum": "shared"})).notes
    assert "devices share one band and send in 3 turns, 1.5 s an exchange" in shared
    interference = "clusters were formed without interference; power, rate and the links served take it into account"
    assert interference in shared
    broadcast = plan(config(radio={"cast": "broadcast"})).notes
    summed = "clusters were formed on the sum of what each receiver needs, which overestimates a broadcast"
    assert summed in broadcast
    assert interference not in broadcast
    assert summed not in shared


def test_of_many_lone_devices_the_first_is_explained_and_the_rest_counted() -> None:
    one = plan(config()).notes
    assert "device 3 is alone: no other device is within 100 m, the nearest, 1, is 370 m away" in one
    apart = {"positions": [[0, 0], [1000, 0], [2000, 0], [3000, 0]]}
    notes = plan(config(places=apart)).notes
    assert (
        "device 0 is alone: no other device is within 100 m, the nearest, 1, is 1000 m away (3 more are alone)" in notes
    )
    assert "the graph is disconnected into 4 parts of 1, 1, 1, 1 devices, 4 of them devices alone: " in "".join(notes)


def test_a_density_beyond_a_limit_comes_with_its_remedy() -> None:
    found = plan(config(compute={"cycles_per_token": None, "epsilon": 2.0, "c_max": 600.0}))
    share = 100 / found.positions
    assert (
        f"density 0.1 is beyond the compute limit of {share:.3g}, 100 values (compute.c_max=600 cycles a round at "
        "compute.epsilon=2 a value and step): lower adapter.density, or train fewer rows a round" in found.notes
    )
