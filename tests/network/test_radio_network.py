"""A plan and a run of one configuration have the same network, whatever clusters, graph, band and cast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.sites import sizes
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.model.skeleton import skeleton
from meshtune.network.run_network import RunNetwork, run_network
from meshtune.network.site import open_site
from meshtune.network.virtual_clock import SLACK
from meshtune.node.announcements import recipes
from meshtune.planning.planner import plan

SINGLE = {"kind": "single"}
NARROW = {"bandwidth": 1400.0}  # Hz, at which a link of more than some 60 m needs more than all power
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "clusters": ({}, {}, {"range": 150.0}),
    "large clusters": ({"s_max": 1.0}, {}, {"range": 200.0}),
    "clusters of two": ({"s_max": 1.0, "most": 2}, {}, {"range": 200.0}),
    "clusters, shared": ({"s_max": 0.2}, {}, {"range": 150.0, "spectrum": "shared"}),
    "clusters, broadcast": ({"s_max": 0.2}, {}, {"range": 150.0, "cast": "broadcast"}),
    "ring": (SINGLE, {"kind": "ring"}, {"range": 150.0}),
    "ring, shared": (SINGLE, {"kind": "ring"}, {"range": 150.0, "spectrum": "shared"}),
    "random": (SINGLE, {"kind": "random", "neighbours": 2}, {"range": 200.0}),
    "full": (SINGLE, {"kind": "full"}, NARROW),
    "full, shared": (SINGLE, {"kind": "full"}, {**NARROW, "spectrum": "shared"}),
    "full, broadcast": (SINGLE, {"kind": "full"}, {**NARROW, "cast": "broadcast"}),
    "full, shared broadcast": (SINGLE, {"kind": "full"}, {"range": 150.0, "spectrum": "shared", "cast": "broadcast"}),
    "one device": (SINGLE, {"kind": "ring"}, {}),
}


def config_of(name: str, **changes: Any) -> RunConfig:
    """A configuration whose masks are as dense in every layer, so that a plan knows the collision rates of its run."""
    clusters, graph, radio = FORMS[name]
    tree = {
        "model": {"name": "tiny-random"},
        "tasks": ["boolq", "piqa", "sums"],
        "devices": {"count": 1 if name == "one device" else 12},
        "adapter": {"rank": 4, "density": 0.1, "budget": "uniform"},
        "train": {"rounds": 4, "steps": 3, "batch": 2, "max_tokens": 50},
        "methods": ["bank"],
        "places": {"radius": 150.0},
        "radio": radio,
        "clusters": {"rate": "expected", **clusters},
        "graph": graph,
        "seed": 3,
    }
    return validate({**tree, **changes}, "the test")


def network_of_run(config: RunConfig) -> RunNetwork:
    """The network that a run forms, of devices with masks at random."""
    layers, rank = skeleton(config.model).layers, config.adapter.rank
    room, draw, own = sizes(layers, rank), np.random.default_rng(0), []
    for device, task in enumerate(config.device_tasks):
        counts = layer_counts(None, room, config.adapter.share, "uniform")
        masks = tuple(np.sort(draw.choice(size, n, replace=False)) for size, n in zip(room, counts, strict=True))
        own.append(Announcement(device, task.key, 10, recipes(config, layers)[task.key], masks))
    site = open_site(config)
    assert site is not None
    methods = [get_method(name) for name in config.methods]
    return run_network(site, methods, own, layers, ExpertFactory(layers, config.adapter, config.federation_seed))


@pytest.mark.parametrize("name", FORMS)
def test_a_plan_and_a_run_report_the_same_network(name: str) -> None:
    config = config_of(name)
    planned, network = plan(config), network_of_run(config)
    formed, facts = network.formed, network.facts()
    assert [list(cluster.members) for cluster in planned.clusters] == facts["clusters"]
    assert [cluster.rate for cluster in planned.clusters] == facts["collision_expected"]
    between = {(link.sender, link.receiver) for link in planned.links if link.between}
    assert between == {way for low, high in facts["links"] for way in ((low, high), (high, low))}
    within = [link for link in planned.links if not link.between]
    asked = {(device, other) for device, near in formed.linked.asked.items() for other in near}
    assert {(link.sender, link.receiver) for link in within} == asked
    heard = {device: [other for other in near if (device, other) in asked] for device, near in formed.inner.items()}
    assert {d: list(near) for d, near in formed.inner.items()} == heard
    served = {(link.sender, link.receiver) for link in within if link.served}
    assert served <= {(device, other) for device, near in formed.inner.items() for other in near}
    assert {(a, b) for a, b, _ in facts["within"]} == {(a, b) for a, b in served if a < b and (b, a) in served}
    for device in planned.devices:
        assert device.reason == network.why[device.device].reason
        assert [(one.device, one.kind) for one in network.why[device.device].refused[:3]] == [
            (one.device, one.kind) for one in device.refused
        ]
    slowest = max(device.compute_seconds for device in planned.devices)
    assert planned.round_seconds == pytest.approx(slowest + (formed.slots + SLACK) * planned.gamma)
    assert planned.payload == facts["payload_bytes"]
    assert planned.s_max == facts["s_max"]


def test_the_configurations_are_not_all_alike() -> None:
    formed = {name: network_of_run(config_of(name)).formed for name in FORMS}
    assert len({str((one.clusters.clusters, one.linked)) for one in formed.values()}) >= 7
    assert formed["clusters"].backbone.links
    assert formed["clusters, shared"].slots > 1
    assert formed["ring, shared"].slots > 1
    assert formed["full"].linked.missing > 0
    assert formed["full"].slots == 1


def test_slots_are_the_turns_of_links_that_devices_can_afford() -> None:
    """Links that are asked for and that nobody can afford take no turn."""
    formed = network_of_run(config_of("full, shared")).formed
    assert formed.linked.missing > 0
    near = {device: set(others) for device, others in formed.inner.items()}
    turns: dict[int, int] = {}
    for device in sorted(near):
        taken = {turns[other] for other in near[device] if other in turns}
        turns[device] = min(set(range(len(near))) - taken)
    assert formed.slots == max(turns.values()) + 1


@pytest.mark.parametrize("name", ["full", "ring", "random"])
def test_nothing_is_said_of_bounds_that_did_not_decide(name: str) -> None:
    """A single cluster is one whatever collisions and powers, so no figure of either is its reason."""
    network = network_of_run(config_of(name))
    start = "all devices are one cluster (clusters.kind=single)"
    assert all(why.reason.startswith((start, f"device {d} is alone")) for d, why in network.why.items())
    assert all("collision rate" not in str(why) and not why.refused for why in network.why.values())
