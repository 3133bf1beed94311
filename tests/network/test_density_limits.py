"""Planned densities against the formulas by hand: a link's, computing's, all of B; in a run and in a plan."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from meshtune.adapter.sites import sizes
from meshtune.cli.advice import try_next
from meshtune.config.config_file import validate
from meshtune.config.federation_config import ExchangeConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import deal
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.model.loading import load
from meshtune.model.skeleton import skeleton
from meshtune.network.density_limits import budget_note, budgets, carried, densities_of
from meshtune.network.geometry import geometry_of, median_gains
from meshtune.network.site import open_site
from meshtune.planning.planner import plan
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from meshtune.training.process_memory import POSITION, SCALAR, forecast_memory
from meshtune.wire.payload import Message, encode
from meshtune.wire.payload_sizes import update_bytes
from whole_runs import Watch

# Three devices near each other, one 400 m away. By hand: squared distances 900, 1600, 2500.
SQUARE = ((0.0, 0.0), (30.0, 0.0), (0.0, 40.0), (400.0, 0.0))
W, GAMMA, P_MAX = 4e3, 0.5, 0.01
N0 = 10 ** (-174 / 10) / 1000
# Tasks in turn: devices 0 and 2 are of boolq, 1 and 3 of piqa. Of each pair the lower median in range; 3 hears nobody.
GAINS = {"boolq": (1 / 1600 + 1 / 2500) / 2, "piqa": (1 / 900 + 1 / 2500) / 2}


def config(**changes: Any) -> RunConfig:
    tree: dict[str, Any] = {
        "model": {"name": "tiny-random"},
        "tasks": ["boolq", "piqa"],
        "devices": {"count": 4},
        "adapter": {"rank": 4, "budget": "uniform", "density": "planned"},
        "train": {"rounds": 4, "steps": 3, "batch": 2, "max_tokens": 50},
        "radio": {"bandwidth": W, "range": 100},
        "places": {"positions": SQUARE},
        "clusters": {"rate": "expected"},
        "methods": ["bank", "local"],
    }
    for key, value in changes.items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) and key in tree else value
    return validate(tree, "the test")


LAYERS = skeleton(config().model).layers
POSITIONS = sum(sizes(LAYERS, 4))


def planned(settings: RunConfig) -> Any:
    site = open_site(settings)
    assert site is not None
    return budgets(settings, site, LAYERS)


def link_bits(gain: float, u: int = 4, band: float = W) -> float:
    """Return the bits that a link carries within Gamma: a share of the band, and of p_max, to each of u."""
    return GAMMA * band / u * math.log2(1 + (P_MAX / u) * gain / (N0 * band / u))


def update(count: int) -> int:
    """Return the bits of one bfloat16 update."""
    return 8 * len(encode(Message("update", 0, 1, 0, {}, {"values": torch.zeros(count).bfloat16()})))


def test_a_links_budget_is_what_it_carries_to_u_plan_neighbours_of_the_median_gain() -> None:
    found = planned(config())
    assert list(found) == ["boolq", "piqa"]
    for group, device in (("boolq", 2), ("piqa", 1)):
        budget = found[group]
        assert (budget.bound, budget.device) == ("link", device)
        assert budget.gain == pytest.approx(GAINS[group], rel=1e-12, abs=0)
        assert update(budget.values) <= link_bits(GAINS[group]) < update(budget.values + 1)
        assert 0 < budget.density == budget.values / POSITIONS < 1
    assert found["boolq"].values < found["piqa"].values
    assert densities_of(config(), found) == tuple(found[key].density for key in ("boolq", "piqa", "boolq", "piqa"))
    few = planned(config(radio={"u_plan": 2}))
    assert update(few["boolq"].values) <= link_bits(GAINS["boolq"], 2) < update(few["boolq"].values + 1)


def test_medians_are_each_devices_own_and_of_those_in_its_range() -> None:
    site = open_site(config())
    assert site is not None
    first, second, third, alone = median_gains(geometry_of(site)).tolist()
    assert first == pytest.approx((1 / 900 + 1 / 1600) / 2)
    assert second == pytest.approx(GAINS["piqa"])
    assert third == pytest.approx(GAINS["boolq"])
    assert math.isnan(alone)


def test_a_broadcast_has_the_whole_band_and_all_power() -> None:
    found = planned(config(radio={"cast": "broadcast", "bandwidth": W / 4}))
    bits = link_bits(GAINS["boolq"], 1, W / 4)
    assert update(found["boolq"].values) <= bits < update(found["boolq"].values + 1)


def test_what_is_sent_of_a_common_part_takes_its_part_of_the_link_first() -> None:
    settings = config(methods=["proposed", "local"], radio={"bandwidth": 2 * W})
    found, columns = planned(settings), sum(sizes(LAYERS, 2))
    among = 2 * sum(layer.inputs + layer.outputs for layer in LAYERS)
    fixed = (round(0.1 * among), among)
    for group, budget in found.items():
        bits = link_bits(GAINS[group], band=2 * W)
        now, more = (8 * update_bytes(fixed[0] + budget.values + n, "bfloat16", chosen=fixed) for n in (0, 1))
        assert now <= bits < more
        assert (budget.bound, budget.density) == ("link", budget.values / columns)
    assert 0 < found["boolq"].density < found["piqa"].density < 1
    whole = plan(settings)
    assert (whole.values, whole.density) == (among + found["piqa"].values, found["piqa"].density)
    link = whole.limits[1]
    assert link.kept
    assert link.values is not None
    assert whole.values <= link.values < whole.values + 5
    assert link.density == pytest.approx((link.values - among) / columns)
    assert 8 * whole.payload <= link_bits(GAINS["piqa"], band=2 * W)
    with pytest.raises(UserError, match=r"leaves device 2 nothing to train"):
        planned(config(methods=["proposed", "local"], radio={"bandwidth": W / 2}))


def test_all_of_a_common_part_is_computed_first() -> None:
    """c_max batch / (epsilon N) values may be trained, of which the common part is dense."""
    among = 2 * sum(layer.inputs + layer.outputs for layer in LAYERS)
    wide = {"methods": ["proposed", "local"], "radio": {"bandwidth": 20e6}}
    found = planned(config(compute={"epsilon": 2.0, "c_max": 6.0 * (among + 100)}, **wide))
    assert all((budget.values, budget.bound) == (100, "compute") for budget in found.values())
    with pytest.raises(UserError, match=rf"leaves proposed nothing to train: .* fewer values than the {among:,} of"):
        planned(config(compute={"epsilon": 2.0, "c_max": 6.0 * among}, **wide))


def test_what_may_be_computed_binds_where_it_is_less() -> None:
    compute = {"epsilon": 2.0, "c_max": 600.0}
    found = planned(config(compute=compute))
    for budget in found.values():
        assert (budget.values, budget.bound) == (100, "compute")  # c_max batch / (epsilon N) = 600 2 / (2 6)
    text = f"adapter.density=planned: a device trains 100 values, {100 / POSITIONS:.3g} of B, bounded by compute.c_max"
    assert budget_note(found) == text
    plain = planned(config())
    between = (plain["boolq"].values + plain["piqa"].values) // 2
    mixed = planned(config(compute={"epsilon": 2.0, "c_max": 6.0 * between}))
    assert {key: budget.bound for key, budget in mixed.items()} == {"boolq": "link", "piqa": "compute"}
    assert (mixed["boolq"].values, mixed["piqa"].values) == (plain["boolq"].values, between)
    assert budget_note(mixed).endswith(
        "bounded by what a link carries (radio.u_plan) (boolq), and by compute.c_max (piqa)"
    )


def test_nobody_trains_more_than_all_of_b() -> None:
    for found in (
        planned(config(radio={"bandwidth": 20e6})),
        planned(config(radio={"range": 5})),  # nobody hears anybody: no link bounds what is never sent
    ):
        assert all((b.values, b.density, b.bound) == (POSITIONS, 1.0, "positions") for b in found.values())


@given(st.floats(-12, -1), st.sampled_from(["bfloat16", "float32"]), st.integers(1, 6))
def test_the_largest_update_that_fits_is_found(exponent: float, values: Any, u: int) -> None:
    settings = config(radio={"u_plan": u})
    site = open_site(settings)
    assert site is not None
    where, gain = geometry_of(site), 10.0**exponent
    try:
        count = carried(where, gain, ExchangeConfig(values=values), POSITIONS)
    except UserError:
        assert (
            8 * update_bytes(1, values) > link_bits(gain, u) - 64
        )  # the header it was told with is up to 8 bytes longer
        return
    bits = link_bits(gain, u) * (1 + 1e-12)
    assert 8 * update_bytes(count, values) <= bits
    assert count == POSITIONS or 8 * update_bytes(count + 5, values) > bits


@pytest.mark.parametrize("values", ["int8", "int4"])
def test_coded_updates_fill_the_link_as_far_as_can_be_expected(values: Any) -> None:
    site = open_site(config())
    assert site is not None
    count = carried(geometry_of(site), GAINS["boolq"], ExchangeConfig(values=values), 10 * POSITIONS)
    assert 8 * update_bytes(count, values) == pytest.approx(link_bits(GAINS["boolq"]), rel=0.03, abs=0)
    assert count > planned(config())["boolq"].values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radio": None}, r"adapter\.density=planned needs a radio, .*: set radio=\{\}, or give a number in \(0, 1\]$"),
        (
            {"adapter": {"density": "planed"}},
            r"adapter\.density=planed: give a share of B's positions, a number in .*or pl",
        ),
        (
            {"adapter": {"density": 0}},
            r"adapter\.density=0: give a share of B's positions, a number in \(0, 1\], or planned$",
        ),
        ({"adapter": {"density": [0.1]}}, r"adapter\.density: give a share of B's positions, "),
    ],
)
def test_what_is_no_density_is_told_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"radio": {"power_dbm": -150}},
            r"adapter\.density=planned leaves device 2 nothing to train: a link of gain .*raise",
        ),
        (
            {"compute": {"epsilon": 2.0, "c_max": 5.0}},
            r"compute\.c_max=5 cycles a round pay for no trained value in 6 rows",
        ),
    ],
)
def test_who_could_train_nothing_is_told_before_anything_is_trained(
    tmp_path: Path, settings: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    tree = {**config(**change).model_dump(mode="json"), "data": settings["data"], "validation": 4}
    for made in (lambda: plan(config(**change)), lambda: run(validate(tree, "test"), tmp_path / "none", Silent())):
        with pytest.raises(UserError, match=message):
            made()
    assert not (tmp_path / "none").exists()


def test_a_number_is_taken_as_before() -> None:
    for given_, meant in ((0.25, 0.25), (1, 1.0), ("0.5", 0.5)):
        density = config(adapter={"density": given_}).adapter.density
        assert (density, type(density)) == (meant, float)
    assert densities_of(config(adapter={"density": 0.25}), None) == (0.25,) * 4
    kept = config().model_dump(mode="json")
    assert kept["adapter"]["density"] == "planned"
    assert validate(kept, "again") == config()
    with pytest.raises(UserError, match=r"adapter\.density=planned needs devices and their radio"):
        assert config().adapter.share


def test_a_plan_has_the_densities_of_a_run() -> None:
    found, budget = plan(config()), planned(config())
    assert (found.values, found.density) == (budget["piqa"].values, budget["piqa"].density)
    link = found.limits[1]
    assert link.kept
    assert link.values is not None
    assert found.values <= link.values < found.values + 5
    assert "of device 1" in link.sentence
    assert found.notes[0] == budget_note(budget)
    assert any("planned for those who train most" in note for note in found.notes)
    # eq. 19 of devices 0, 1 and 2, two densities among them
    low, high = budget["boolq"].density, budget["piqa"].density
    alone = (1 - low) ** 2 * (1 - high)
    one = 2 * low * (1 - low) * (1 - high) + high * (1 - low) ** 2
    wide = plan(config(clusters={"s_max": 1.0}))
    rates = {cluster.members: cluster.rate for cluster in wide.clusters}
    assert rates[0, 1, 2] == pytest.approx(1 - alone - one, rel=2e-2, abs=0)
    lora = plan(config(methods=["lora", "local"]))
    assert lora.methods[1].parameters == budget["piqa"].values
    assert lora.density == 1


def test_a_run_trains_what_was_planned_and_says_so(tmp_path: Path, settings: dict[str, Any]) -> None:
    tree = config(methods=["bank", "lori"], train={"rounds": 1, "steps": 1}).model_dump(mode="json")
    kept = {key: settings[key] for key in ("data", "validation", "router", "eval")}
    whole = validate({**tree, **kept}, "test")
    watch, expected = Watch(), planned(whole)
    folder = run(whole, tmp_path / "run", watch)
    header = json.loads((folder / "results.json").read_text())["header"]
    assert header["config"]["adapter"]["density"] == "planned"
    assert {key: found["values"] for key, found in header["budgets"].items()} == {
        key: budget.values for key, budget in expected.items()
    }
    assert header["budgets"]["piqa"] == expected["piqa"].facts()
    assert budget_note(expected) in watch.texts
    masks = load_file(folder / "prepare.safetensors")
    for device, group in enumerate(("boolq", "piqa", "boolq", "piqa")):
        for name in ("calibrated", "lori"):
            used = int(np.unpackbits(masks[f"{device}.mask.{name}"]).sum())
            assert used == expected[group].values
    largest = expected["piqa"].values
    assert header["methods"]["bank"]["parameters_updated"] == largest
    assert 8 * header["network"]["payload_bytes"] == update(largest)
    assert plan(whole).payload == header["network"]["payload_bytes"]
    assert try_next(folder, {**header["config"], "methods": ["proposed"]})[1].endswith("--set adapter.density=0.1")


def test_the_forecast_counts_every_devices_own(settings: dict[str, Any]) -> None:
    whole = validate({**config().model_dump(mode="json"), "data": settings["data"], "validation": 4}, "test")
    base = load(whole.model)
    devices = deal(whole, base.tokenizer)
    shares = densities_of(whole, planned(whole))
    state = forecast_memory(base, whole, [get_method("bank")], devices, shares).state
    values = sum(round(share * POSITIONS) for share in shares)
    assert state == pytest.approx((SCALAR + POSITION) * values, rel=1e-3, abs=0)
    common = 2 * sum(layer.inputs + layer.outputs for layer in LAYERS)
    beside = sum(round(share * POSITIONS / 2) for share in shares)
    state = forecast_memory(base, whole, [get_method("proposed")], devices, shares).state
    assert state == pytest.approx(4 * SCALAR * common + (SCALAR + POSITION) * beside, rel=1e-3, abs=0)
    both = forecast_memory(base, whole, [get_method("proposed"), get_method("bank")], devices, shares).state
    assert both == pytest.approx(state + (SCALAR + POSITION) * values, rel=1e-3, abs=0)
