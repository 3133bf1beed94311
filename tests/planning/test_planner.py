"""A plan's numbers against formulas written out by hand, and what must not change them."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshtune.adapter.sites import sizes
from meshtune.config.run_config import RunConfig, validate
from meshtune.errors import UserError
from meshtune.model.skeleton import skeleton
from meshtune.network.geometry import geometry_of
from meshtune.network.site import site_of
from meshtune.planning.model_sizes import method_sizes
from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from meshtune.topology.collision import measured
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link_budget import over_the_air

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
        "methods": ["proposed", "lora", "local"],
    }
    for key, value in changes.items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) and key in tree else value  # type: ignore[dict-item]
    return validate(tree, "the test")


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(config())


def bits() -> float:
    shape = skeleton(config().model)
    return 8 * method_sizes(shape, "proposed", config().adapter, config().exchange).update


def total(u: int, *squares: float) -> float:
    return N0 * W / u * (2 ** (bits() * u / (W * GAMMA)) - 1) * sum(squares)


def test_payload_is_the_sparse_methods_update_and_clusters_are_those_in_range(planned: Plan) -> None:
    positions = sum(sizes(skeleton(config().model).layers, 4))
    assert (planned.positions, planned.values) == (positions, round(0.1 * positions))
    assert 8 * planned.payload == bits()
    assert planned.payload > 2 * planned.values  # bfloat16 and a header
    assert [cluster.members for cluster in planned.clusters] == [(0, 1, 2), (3,)]
    assert planned.clusters[0].rate == pytest.approx(3 * 0.01 * 0.9 + 0.001, rel=1e-2)
    assert planned.parts == (3, 1)
    assert any("the graph falls into 2 parts of 3, 1 devices" in note for note in planned.notes)


def test_power_energy_delay_and_outage_are_lemma_1(planned: Plan) -> None:
    for device, squares in ((0, (900, 1600)), (1, (900, 2500)), (2, (1600, 2500))):
        found = planned.devices[device]
        power = total(2, *squares)
        assert found.power == pytest.approx(power, rel=1e-9)
        assert found.headroom == pytest.approx(P_MAX - power, rel=1e-9)
        assert found.delay == pytest.approx(GAMMA)
        assert found.energy == pytest.approx(power * GAMMA, rel=1e-9)
        assert found.outage == pytest.approx(1 - math.exp(-total(2, max(squares)) / P_MAX), rel=1e-6)
        assert found.neighbours == tuple(other for other in (0, 1, 2) if other != device)
    link = next(link for link in planned.links if (link.sender, link.receiver) == (2, 1))
    assert link.metres == pytest.approx(50)
    assert link.gain_db == pytest.approx(-20 * math.log10(50))
    assert link.rate == pytest.approx(bits() / GAMMA)
    assert link.capacity == pytest.approx(W / 2 * math.log2(1 + P_MAX / 2 / 2500 / (N0 * W / 2)))


def test_a_lone_device_is_told_why_and_costs_no_sending(planned: Plan) -> None:
    lone = planned.devices[3]
    told = "device 3 is alone: no other device is within 100 m, the nearest, 1, is 370 m away"
    assert lone.alone == lone.reason == told
    assert told in planned.notes
    assert (lone.power, lone.energy, lone.delay, lone.outage) == (0, 0, None, None)
    assert sum(lone.bytes["proposed"].run.values()) == 0
    assert [refused.kind for refused in lone.refused] == ["range"] * 3


def test_computing_and_the_rounds_end(planned: Plan) -> None:
    cycles = 3 * 2 * 50 * 1e7
    for device in planned.devices:
        assert device.compute_seconds == pytest.approx(cycles / 1e9)
        assert device.compute_energy == pytest.approx(1e-28 * cycles * 1e18)
    assert planned.round_seconds == pytest.approx(cycles / 1e9 + 1.5 * GAMMA)
    assert planned.run_seconds == pytest.approx(4 * planned.round_seconds)
    sending = sum(device.energy for device in planned.devices)
    assert planned.run_energy == pytest.approx(4 * (4 * 1e-28 * cycles * 1e18 + sending))
    late = plan(config(round_seconds=3.2)).notes
    assert any("4 of 4 devices would miss the end of the round, round_seconds=3.2: device 0" in note for note in late)


def test_bytes_are_copies_to_each_neighbour(planned: Plan) -> None:
    proposed, lora, local = planned.methods
    size = method_sizes(skeleton(config().model), "proposed", config().adapter, config().exchange)
    run = planned.devices[0].bytes["proposed"].run
    assert planned.devices[0].bytes["proposed"].round == 2 * size.update
    assert run["values"] == 4 * 2 * 2 * planned.values
    assert run["masks"] == 2 * size.mask
    assert run["router"] == 2 * size.router
    assert run["control"] == 4 * 2 * (size.update - 2 * planned.values) + 2 * size.control
    assert run["relayed"] == 0
    assert proposed.run == {kind: 3 * count for kind, count in run.items()}
    assert lora.seconds == pytest.approx(GAMMA * lora.update / proposed.update)
    assert (local.update, local.seconds, sum(local.run.values())) == (0, None, 0)


def test_outage_is_about_what_rounds_would_see() -> None:
    """Where the power has to do for several links, a link fails somewhat more often than had it all for itself."""
    weak = config(radio={"power_dbm": 10 * math.log10(5 * total(2, 900, 1600)) + 30})
    found, where = plan(weak), geometry_of(site_of(weak, weak.radio or RadioConfig()))
    links = [link for link in found.links if link.sender == 0]
    sender, receiver = (np.array([getattr(link, end) for link in links]) for end in ("sender", "receiver"))
    failed = np.zeros(len(links))
    for round_ in range(1, 1501):
        budget = over_the_air(where.config, where.channel, where.positions, sender, receiver, bits(), round_)
        failed += ~budget.served / 1500
    for link, share in zip(links, failed.tolist(), strict=True):
        assert link.outage is not None
        assert link.outage - 0.03 < share < 1.6 * link.outage + 0.03


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


def chain(**changes: Any) -> Plan:
    """Clusters 0-1, 2-3 and 4-5 in a row, 60 m apart; range 70 m joins only next ones."""
    where = ((0, 0), (10, 0), (70, 0), (80, 0), (140, 0), (150, 0))
    tree = {"devices": {"count": 6}, "places": {"positions": where}, "clusters": {"rate": "expected", "most": 2}}
    return plan(config(**{**tree, "radio": {"bandwidth": W, "range": 70}, **changes}))


def test_between_clusters_every_update_reaches_every_device_once() -> None:
    found = chain()
    assert [cluster.members for cluster in found.clusters] == [(0, 1), (2, 3), (4, 5)]
    between = {(link.sender, link.receiver): link.updates for link in found.links if link.between}
    # Over 1-2 go the two of its left, and back the four of its right; 3-4 likewise.
    assert between == {(1, 2): 2, (3, 4): 4, (2, 1): 4, (4, 3): 2}
    update = found.payload
    traffic = [device.bytes["proposed"] for device in found.devices]
    # Device 1 passes device 0's update on to 2, and the four that come from there to 0; itself it sends to 2.
    assert traffic[1].between == update * (1 + 1 + 4)
    assert traffic[2].between == update * (1 + 3 + 2)
    assert traffic[0].between == 0
    received = sum(one.between for one in traffic) / update
    assert received == 6 * 4  # each of six updates at the four devices outside its cluster
    assert found.exchanges == 2
    once = found.methods[0].mask + found.methods[0].router + found.methods[0].control
    assert traffic[1].run["relayed"] == 2 * 5 * update + 5 * once
    assert found.devices[1].bytes["lora"].between == found.methods[1].update
    one = found.devices[1]
    power = total(1, 60**2)
    assert one.between == (2,)
    assert one.between_power == pytest.approx(power, rel=1e-9)
    assert one.between_energy == pytest.approx(GAMMA * (2 * power + 4 * total(1, 10**2)), rel=1e-9)
    assert any("up to 4 updates cross one link, 2 s one after another" in note for note in found.notes)


def test_a_round_leaves_every_turn_of_a_shared_band_its_time() -> None:
    own, found = (
        plan(config(radio={"bandwidth": W, "range": 100, "spectrum": kind})) for kind in ("orthogonal", "shared")
    )
    assert max(len(cluster.members) for cluster in found.clusters) == 3
    # Three devices that all hear each other send one after another.
    assert found.round_seconds == pytest.approx(own.round_seconds + 2 * GAMMA)


def test_a_broadcast_counts_once() -> None:
    found = plan(config(radio={"bandwidth": W, "range": 100, "cast": "broadcast"}))
    assert found.devices[0].power == pytest.approx(total(1, 1600), rel=1e-9)
    assert found.devices[0].bytes["proposed"].round == found.payload
    several = chain(radio={"bandwidth": W, "range": 70, "cast": "broadcast"})
    # Device 2 sends its own and 3's over its link to 1 with what came over 3-4, and passes the two of 0 and 1 on to 3.
    assert several.devices[2].bytes["proposed"].between == several.payload * (1 + 3 + 2)


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
        assert there.power == pytest.approx(here.power, rel=1e-9)
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


def test_what_is_assumed_is_said() -> None:
    bare = config(radio=None, places={"positions": SQUARE, "mobility": "waypoint"}, adapter={"budget": "entropy"})
    notes = plan(bare).notes
    assert any("no radio: the defaults" in note for note in notes)
    assert any("`density_from`" in note for note in notes)
    assert any("devices move" in note for note in notes)
    lossy = plan(config(radio={"bandwidth": W, "range": 100, "loss": {"probability": 0.5, "retransmissions": 1}}))
    assert any("sent 1.5 times on average" in note and "33.3% of Gamma" in note for note in lossy.notes)
    assert lossy.planned_gamma == pytest.approx(GAMMA / 1.5)
    assert any("clusters.rate=rows needs masks" in note for note in plan(config(clusters={"rate": "rows"})).notes)


def test_what_negotiating_does_to_densities_is_exact() -> None:
    """Devices 0, 1, 2 are in one cluster, of two groups: a device may have half of a layer."""

    def told(**changes: Any) -> str:
        changes = {"methods": ["proposed", "paper"], **changes}
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
    assert told(methods=["proposed"]).startswith("clusters.masks=negotiated changes nothing: no method of the run adds")


def test_json_holds_everything_and_nothing_infinite(planned: Plan) -> None:
    tree = json.loads(planned.to_json())
    assert (tree["format"], tree["version"]) == ("meshtune-plan", 1)
    assert tree["devices"][2]["power"] == planned.devices[2].power
    assert [len(tree[key]) for key in ("devices", "clusters", "links", "methods")] == [4, 2, 6, 3]


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


@pytest.fixture(scope="module")
def finished(whole_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    """A run of the tiny random base, and its settings with places."""
    tree = {**whole_settings, "model": {"name": "tiny-random"}, "train": {**whole_settings["train"], "rounds": 1}}
    folder = tmp_path_factory.mktemp("plan") / "run"
    run(validate({**tree, "methods": ["proposed"]}, "the test"), folder, Silent())
    where = {"positions": SQUARE[:3]}
    return validate({**tree, "methods": ["proposed", "lora"], "places": where, "radio": {}}, "the test"), folder


def masks_of(folder: Path, config: RunConfig) -> list[list[np.ndarray]]:
    """Read the run's masks straight from its file."""
    from safetensors.numpy import load_file

    room = sizes(skeleton(config.model).layers, config.adapter.rank)
    edges = np.cumsum([0, *room])
    tensors = load_file(folder / "prepare.safetensors")
    found = []
    for device in range(3):
        used = np.flatnonzero(np.unpackbits(tensors[f"{device}.mask.calibrated"]))
        found.append([used[(used >= a) & (used < b)] - a for a, b in pairwise(edges)])
    return found


@pytest.mark.parametrize("rate", ["expected", "rows"])
def test_densities_come_from_a_runs_masks(finished: tuple[RunConfig, Path], rate: str) -> None:
    settings, folder = finished
    chosen = settings.model_copy(update={"clusters": settings.clusters.model_copy(update={"rate": rate, "s_max": 1.0})})
    found = plan(chosen, folder)
    layers, r = skeleton(settings.model).layers, settings.adapter.rank
    masks, room = masks_of(folder, settings), sizes(layers, r)
    assert found.rate == rate
    assert found.values == sum(part.size for part in masks[0])
    cells = []  # of every layer or row: used by each device, positions
    for layer, spec in enumerate(layers):
        if rate == "expected":
            cells.append(([mask[layer].size for mask in masks], room[layer]))
        else:
            per_row = [np.bincount(mask[layer] // r, minlength=spec.outputs) for mask in masks]
            cells += [([int(counts[row]) for counts in per_row], r) for row in range(spec.outputs)]
    (cluster,) = found.clusters
    wanted = 0.0
    for used, size in cells:
        s = [count / size for count in used]
        none = math.prod(1 - share for share in s)
        once = sum(s[i] * math.prod(1 - s[j] for j in range(3) if j != i) for i in range(3))
        wanted += (1 - none - once) * size / sum(room)
    assert cluster.rate == pytest.approx(wanted, abs=1e-4)
    assert 0 < measured(masks, room) < 1
    assert any("densities are those of the masks in" in note for note in found.notes)
    assert not any("`density_from`" in note for note in found.notes)
    assert not any("masks are taken in order" in note for note in found.notes)
    other = chosen.model_copy(update={"tasks": chosen.tasks[::-1]})
    assert any("device 0 has the task piqa, its mask is one of boolq" in note for note in plan(other, folder).notes)


def test_a_runs_own_counts_are_cut_to_what_negotiating_allows(finished: tuple[RunConfig, Path]) -> None:
    settings, folder = finished
    wanted = settings.clusters.model_copy(update={"masks": "negotiated", "s_max": 1.0})
    found = plan(settings.model_copy(update={"clusters": wanted, "methods": ("shared_b",)}), folder)
    room = sizes(skeleton(settings.model).layers, settings.adapter.rank)
    # Three groups in one cluster: a third of every layer each. Some layers want more, and the largest change is a cut.
    cuts = [
        (part.size - size // 3) / size
        for mask in masks_of(folder, settings)
        for part, size in zip(mask, room, strict=True)
    ]
    (note,) = [note for note in found.notes if note.startswith("clusters.masks=negotiated")]
    assert len(found.clusters) == 1
    assert max(cuts) > 0
    assert f"which changes a layer's density by up to {max(cuts):.3g} and no total;" in note


def test_a_run_that_does_not_fit_is_one_sentence(finished: tuple[RunConfig, Path], tmp_path: Path) -> None:
    settings, folder = finished
    for update, words in (
        ({"adapter": settings.adapter.model_copy(update={"rank": 8})}, "of rank 4, the plan's adapter.rank is 8"),
        ({"model": settings.model.model_copy(update={"name": "smollm2-135m"})}, "plan with the run's model"),
        ({"methods": ("lori",)}, "it has no masks of lori"),
        ({"methods": ("lora",)}, "lora trains every position"),
    ):
        with pytest.raises(UserError, match=words):
            plan(settings.model_copy(update=update), folder)
    more = settings.model_copy(update={"devices": settings.devices.model_copy(update={"count": 4})})
    spread = more.model_copy(update={"places": more.places.model_copy(update={"positions": SQUARE})})
    with pytest.raises(UserError, match=r"it has 3 devices, the plan 4: plan with the setting `devices\.count=3`"):
        plan(spread, folder)
    with pytest.raises(UserError, match="holds no run"):
        plan(settings, tmp_path)
