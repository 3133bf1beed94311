"""What a run costs devices: computing by hand, copies of announcements and updates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan
from meshtune.planning.round_costs import announced, tokens_of
from meshtune.topology.agnes import clustered
from meshtune.topology.backbone import Backbone, backbone
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import expected
from meshtune.topology.config import ClusterConfig, GraphConfig
from meshtune.topology.linked import Linked, linked
from meshtune.wireless.arrays import Floats, Ints
from plans import GAMMA, config


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(config())


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


def row(count: int, kind: str, graph: str = "full") -> tuple[Linked, Backbone]:
    """Devices 10 m apart in a row, each in range of the next only, in one cluster or in pairs."""
    where = np.arange(count)[:, None] * np.array([[10.0, 0.0]])

    def loss(a: Ints, b: Ints) -> Floats:
        return np.asarray(((where[a] - where[b]) ** 2).sum(1))

    air = LinkBounds(np.arange(count), where, 11.0, loss, 1e9, float, most=2)
    use = expected(np.full((count, 1), 0.1), [10])
    settings = ClusterConfig(kind=kind, s_max=1.0)  # type: ignore[arg-type]
    clusters = clustered(settings, air, use)
    return linked(clusters, settings, GraphConfig(kind=graph), 0), backbone(clusters)  # type: ignore[arg-type]


def test_announcements_go_along_a_row_to_each_device_once() -> None:
    said = announced(*row(5, "single"), single=True)
    assert said.own.tolist() == [1, 2, 2, 2, 1]
    # Device 1 passes on 0's to 2, and to 0 those of 2, 3 and 4; device 2 those of 0, 1 and of 3, 4.
    assert said.passed.tolist() == [0, 4, 4, 4, 0]
    assert (said.own + said.passed).sum() == 5 * 4
    pairs = announced(*row(5, "agnes"), single=False)
    assert pairs.own.tolist() == said.own.tolist()
    assert pairs.passed.tolist() == said.passed.tolist()


def test_devices_out_of_reach_are_told_nothing() -> None:
    linked_, joined = row(4, "single", "ring")  # 0 and 3 do not hear each other
    assert announced(linked_, joined, single=True).own.tolist() == [1, 2, 2, 1]
    cut = replace(linked_, heard={0: (1,), 1: (0,), 2: (), 3: ()})
    found = announced(cut, joined, single=True)
    assert (found.own.tolist(), found.passed.tolist()) == ([1, 1, 0, 0], [0, 0, 0, 0])


def test_tokens_are_rows_of_full_length() -> None:
    assert tokens_of(config()) == 3 * 2 * 50
