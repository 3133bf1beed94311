"""Plans of a single cluster linked by ``graph.kind``, against formulas written out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.planning.planner import plan
from meshtune.report.mapped import of_plan
from meshtune.report.plan_tables import summary_table

W, GAMMA = 1e5, 0.5
N0 = 10 ** (-174 / 10) / 1000
# Eight devices on a circle of 100 m.
CIRCLE = [(100 * math.cos(math.pi * k / 4), 100 * math.sin(math.pi * k / 4)) for k in range(8)]
SIDE = 200 * math.sin(math.pi / 8)  # metres to the next


def config(graph: dict[str, Any], count: int = 8, **changes: Any) -> RunConfig:
    tree = {
        "model": {"name": "tiny-random"},
        "tasks": ["boolq", "piqa"],
        "devices": {"count": count},
        "adapter": {"rank": 4, "budget": "uniform"},
        "train": {"rounds": 4, "steps": 3, "batch": 2, "max_tokens": 50},
        "radio": {"bandwidth": W},
        "places": {"positions": CIRCLE},
        "clusters": {"kind": "single", "rate": "expected"},
        "methods": ["bank", "lora"],
        "graph": graph,
    }
    return validate({**tree, **changes}, "the test")


def test_a_ring_has_two_links_a_device_and_passes_the_rest_on() -> None:
    found = plan(config({"kind": "ring"}))
    power = 2 * N0 * W / 2 * math.expm1(math.log(2) * 8 * found.payload * 2 / (W * GAMMA)) * SIDE**2
    assert [device.neighbours for device in found.devices] == [
        tuple(sorted(((d - 1) % 8, (d + 1) % 8))) for d in range(8)
    ]
    assert all(device.power == pytest.approx(power, rel=1e-6, abs=0) for device in found.devices)
    assert all(device.delay == pytest.approx(GAMMA) for device in found.devices)
    assert len(found.links) == 16
    assert found.parts == (8,)
    assert found.exchanges == 2
    bank, lora = found.methods
    once = bank.mask + bank.router + bank.control
    # Five of seven others are not heard: to eight devices, in two of four rounds; announcements once.
    assert bank.run["relayed"] == 2 * 8 * 5 * bank.update + 8 * 5 * once
    assert lora.run["relayed"] == 8 * 5 * (lora.mask + lora.router + lora.control)
    assert bank.run["values"] == 4 * 8 * 2 * 2 * found.values
    assert sum(device.bytes["bank"].between for device in found.devices) == 8 * 5 * found.payload
    assert all(device.bytes["bank"].round == 2 * found.payload for device in found.devices)
    assert "are relayed hop by hop every 2 rounds, in 3 windows, 2.25 s" in "".join(found.notes)
    assert found.devices[3].reason is not None
    assert found.devices[3].reason.endswith("graph.kind=ring links device 3 to 2 and 4")
    assert any("2 with an exchange hop by hop" in row[1] for row in summary_table(found).rows)
    # In a window on two links the power is that of the round; on one, with the whole band, it is less.
    energy = sum(device.between_energy for device in found.devices)
    alone = N0 * W * math.expm1(math.log(2) * 8 * found.payload / (W * GAMMA)) * SIDE**2
    assert 40 * alone * GAMMA <= energy * (1 + 1e-9) <= 20 * power * GAMMA * (1 + 1e-6)
    sending = 4 * sum(device.energy for device in found.devices) + 2 * energy
    assert found.run_energy - found.run_compute_energy == pytest.approx(sending, rel=1e-3, abs=0)


def test_its_map_draws_the_links_of_the_graph() -> None:
    shown = of_plan(plan(config({"kind": "ring"})))
    assert {(a, b) for a, b, _ in shown.within} == {(d, d + 1) for d in range(7)} | {(0, 7)}
    assert list(shown.failing) == list(shown.between) == []


def test_an_exponential_graph_passes_less_on() -> None:
    found = plan(config({"kind": "exponential"}))
    assert found.devices[0].neighbours == (1, 2, 4, 6, 7)
    assert found.methods[0].run["values"] == 4 * 8 * 5 * 2 * found.values
    assert sum(device.bytes["bank"].between for device in found.devices) == 8 * 2 * found.payload


def test_a_geometric_graph_is_within_its_radius_and_a_random_one_draws_neighbours() -> None:
    near = plan(config({"kind": "geometric", "radius": SIDE + 1}))
    assert near.methods == plan(config({"kind": "ring"})).methods
    drawn = plan(config({"kind": "random", "neighbours": 2}))
    assert all(2 <= len(device.neighbours) <= 7 and not device.unserved for device in drawn.devices)
    assert len(drawn.links) <= 2 * 8 * 2
    assert plan(config({"kind": "random", "neighbours": 2}, seed=1)).links != drawn.links


def test_without_relay_only_announcements_are_passed_on() -> None:
    found = plan(config({"kind": "ring", "relay": False}))
    once = found.methods[0].mask + found.methods[0].router + found.methods[0].control
    assert found.methods[0].run["relayed"] == 8 * 5 * once
    assert found.exchanges == 0
    assert found.parts == (8,)


def test_pairs_out_of_reach_in_a_full_graph_hear_through_others() -> None:
    found = plan(config({"kind": "full"}, radio={"bandwidth": W, "range": SIDE + 1}))
    ring = plan(config({"kind": "ring"}))
    assert found.methods == ring.methods
    assert [device.neighbours for device in found.devices] == [device.neighbours for device in ring.devices]
    assert found.devices[0].unserved == (2, 3, 4, 5, 6)
    assert any("40 of 56 links within clusters do not carry the payload" in note for note in found.notes)
    assert plan(config({"kind": "full"})).exchanges == 0


def test_a_device_that_the_graph_leaves_alone_is_told() -> None:
    where = [*CIRCLE[:7], (-100.0, 5.0)]  # beside device 3
    found = plan(config({"kind": "ring"}, places={"positions": where}, radio={"bandwidth": W, "range": SIDE + 1}))
    told = "device 7 is alone: graph.kind=ring links it to 0 and 6, and range or power to none of these"
    assert found.parts == (7, 1)
    assert any(note.startswith("the graph is disconnected into 2 parts of 7, 1 devices") for note in found.notes)
    assert found.devices[7].alone == found.devices[7].reason == told
    assert told in found.notes


def test_the_order_of_the_devices_in_a_file_does_not_matter(tmp_path: Path) -> None:
    lines = [f"{device},{x!r},{y!r}" for device, (x, y) in enumerate(CIRCLE)]
    for number, graph in enumerate(({"kind": "random"}, {"kind": "geometric", "radius": 150.0}, {"kind": "ring"})):
        found = []
        for order in (lines, lines[::-1]):
            file = tmp_path / f"{number}.{len(found)}.csv"
            file.write_text("\n".join(["device,x,y", *order]) + "\n")
            found.append(plan(config(graph, places={"file": str(file)})).to_json())
        assert found[0] == found[1] == plan(config(graph)).to_json()


@pytest.mark.parametrize(
    ("count", "spectrum", "words"),
    [
        (501, "orthogonal", r"clusters\.kind=single of 501 devices with graph\.kind=ring relays .* at most 500: lower"),
        (101, "shared", r"clusters\.kind=single of 101 devices with .* at most 100 on one shared band: lower devices"),
    ],
)
def test_more_devices_than_can_be_followed_are_one_sentence(count: int, spectrum: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        plan(config({"kind": "ring"}, count, places={}, radio={"spectrum": spectrum}))
