"""A plan's numbers against formulas written out by hand, and what must not change them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from meshtune.adapter.sites import sizes
from meshtune.config.config_file import validate
from meshtune.errors import UserError
from meshtune.model.skeleton import skeleton
from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from plans import GAMMA, N0, P_MAX, SQUARE, W, bits, chain, config, total


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(config())


def test_payload_is_the_sparse_methods_update_and_clusters_are_those_in_range(planned: Plan) -> None:
    positions = sum(sizes(skeleton(config().model).layers, 4))
    assert (planned.positions, planned.values) == (positions, round(0.1 * positions))
    assert 8 * planned.payload == bits()
    assert planned.payload > 2 * planned.values  # bfloat16 and a header
    assert [cluster.members for cluster in planned.clusters] == [(0, 1, 2), (3,)]
    assert planned.clusters[0].rate == pytest.approx(3 * 0.01 * 0.9 + 0.001, rel=1e-2, abs=0)
    assert planned.parts == (3, 1)
    assert any("the graph is disconnected into 2 parts of 3, 1 devices" in note for note in planned.notes)


def test_methods_without_masks_collide_everywhere() -> None:
    found = plan(config(methods=["lora", "local"]))
    assert found.payload_method == "lora"
    assert found.density == 1
    assert found.methods[1].parameters == round(0.1 * found.positions)
    assert any("range and power alone decide clusters" in note for note in found.notes)
    joined = plan(config(methods=["lora"], radio={"bandwidth": 1e7, "range": 100}))
    assert [cluster.members for cluster in joined.clusters] == [(0, 1, 2), (3,)]
    assert joined.clusters[0].rate == pytest.approx(1)
    assert joined.s_max == 1


def test_methods_without_masks_are_clustered_as_in_a_run(tmp_path: Path, whole_settings: dict[str, Any]) -> None:
    tree = {**whole_settings, "methods": ["lora"], "train": {**whole_settings["train"], "rounds": 1, "steps": 1}}
    where = {"model": {"name": "tiny-random"}, "devices": {"count": 4}, "places": {"positions": SQUARE}}
    settings = validate({**tree, **where, "radio": {"range": 100}, "clusters": {"s_max": 0.05}}, "the test")
    folder = run(settings, tmp_path / "run", Silent())
    network = json.loads((folder / "results.json").read_text())["header"]["network"]
    found = plan(settings)
    assert [list(cluster.members) for cluster in found.clusters] == network["clusters"] == [[0, 1, 2], [3]]
    assert (found.s_max, found.payload) == (network["s_max"], network["payload_bytes"])


def test_masks_of_everything_are_masks_and_s_max_decides() -> None:
    found = plan(config(adapter={"density": 1.0}, radio={"bandwidth": 1e7, "range": 100}))
    assert all(len(cluster.members) == 1 for cluster in found.clusters)
    assert any("only clusters.s_max=1" in note for note in found.notes)


def test_a_round_leaves_every_turn_of_a_shared_band_its_time() -> None:
    own, found = (
        plan(config(radio={"bandwidth": W, "range": 100, "spectrum": kind})) for kind in ("orthogonal", "shared")
    )
    assert max(len(cluster.members) for cluster in found.clusters) == 3
    # Three devices that all hear each other send one after another.
    assert found.round_seconds == pytest.approx(own.round_seconds + 2 * GAMMA)


def test_a_broadcast_counts_once() -> None:
    found = plan(config(radio={"bandwidth": W, "range": 100, "cast": "broadcast"}))
    assert found.devices[0].power == pytest.approx(total(1, 1600), rel=1e-9, abs=0)
    assert found.devices[0].bytes["bank"].round == found.payload
    several = chain(radio={"bandwidth": W, "range": 70, "cast": "broadcast"})
    # Device 2 sends its own and 3's over its link to 1 with what came over 3-4, and passes the two of 0 and 1 on to 3.
    assert several.devices[2].bytes["bank"].between == several.payload * (1 + 3 + 2)


def test_limits_are_the_formulas_and_a_density_beyond_them_is_said() -> None:
    found = plan(config(compute={"cycles_per_token": None, "epsilon": 2.0, "c_max": 600.0}))
    compute, link = found.limits
    assert compute.values == 600 * 2 / (2 * 6)  # c_max batch / (epsilon N)
    assert compute.density == pytest.approx(100 / found.positions)
    assert not compute.kept
    assert any(note.startswith("density 0.1 is beyond the compute limit of") for note in found.notes)
    held = W * GAMMA / 4 * math.log2(1 + P_MAX / 1600 / (N0 * W))  # to four neighbours of the median gain
    assert link.values == pytest.approx((held - (bits() - 16 * found.values)) / 16)
    assert link.kept == (found.values <= link.values)
    weak = plan(config(radio={"bandwidth": W, "range": 100, "power_dbm": -150}))
    assert weak.limits[1].values == 0
    assert weak.parts == (1, 1, 1, 1)
    assert any("not one trained value" in note for note in weak.notes)
    assert "the cheapest link of 2 in range" in str(weak.devices[0].alone)


def test_the_same_seed_is_the_same_plan_and_another_is_not() -> None:
    drawn = {"positions": None, "radius": 60.0}
    first, again, other = (plan(config(places=drawn, seed=seed)).to_json() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_order_of_the_devices_does_not_matter(tmp_path: Path) -> None:
    lines = [f"{device},{x},{y}" for device, (x, y) in enumerate(SQUARE)]
    found = []
    for order in (lines, lines[::-1]):
        file = tmp_path / f"{len(found)}.csv"
        file.write_text("\n".join(["device,x,y", *order]) + "\n")
        found.append(plan(config(places={"positions": None, "file": str(file)})).to_json())
    assert found[0] == found[1] == plan(config()).to_json()
    # Devices 1 and 2 trade places: all that is said of them does too.
    swapped = plan(config(places={"positions": [SQUARE[i] for i in (0, 2, 1, 3)]}))
    plain = plan(config())

    for one, other in ((0, 0), (1, 2), (2, 1), (3, 3)):
        there, here = swapped.devices[one], plain.devices[other]
        assert there.power == pytest.approx(here.power, rel=1e-9, abs=0)
        assert there.outage == pytest.approx(here.outage)
        assert len(there.neighbours) == len(here.neighbours)
        assert there.bytes == here.bytes


def test_a_single_cluster_is_planned_whatever_it_costs() -> None:
    found = plan(config(clusters={"kind": "single", "rate": "expected"}))
    assert [cluster.members for cluster in found.clusters] == [(0, 1, 2, 3)]
    assert found.devices[3].unserved == (0, 1, 2)
    assert found.devices[0].unserved == (3,)
    assert any("6 of 12 links within clusters do not carry" in note for note in found.notes)
    assert "clusters.kind=single" in str(found.devices[0].reason)


def test_impossible_plans_are_one_sentence() -> None:
    for changes, words in (
        ({"methods": ["local"]}, r"methods=\[local\] send nothing"),
        ({"devices": {"count": 5}}, "places.positions places 4 devices and there are 5"),
        ({"places": {"positions": [*SQUARE[:3], SQUARE[0]]}}, "devices 0 and 3 both stand at"),
        ({"adapter": {"rank": 500}}, "adapter.rank=500 is above the 128 inputs of layer .*: lower it to 64"),
    ):
        with pytest.raises(UserError, match=words):
            plan(config(**changes))
    many = config(devices={"count": 3000}, radio={"range": None}, places={"positions": None})
    with pytest.raises(UserError, match=r"3000 devices have 4,498,500 pairs in range.*set radio.range, for example to"):
        plan(many)
    with pytest.raises(UserError, match=r"clusters\.kind=single of 500 devices has 249,500 links"):
        plan(config(devices={"count": 500}, places={"positions": None}, clusters={"kind": "single"}))
    with pytest.raises(UserError, match="there is no device 4: the plan has devices 0 to 3"):
        plan(config(), why=4)
