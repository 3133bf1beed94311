"""Plans form the network of a run, say how far they are, and refuse what they could not follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.network.geometry import geometry_of, link_bounds
from meshtune.network.radio_network import RadioNetwork
from meshtune.network.site import open_site
from meshtune.planning.planned_network import check_followed, planned_network
from meshtune.runs.events import Event, PhaseStarted, Progress
from meshtune.topology.collision import expected

BITS = 8e4


def config_of(devices: int, **changes: Any) -> RunConfig:
    tree = {"tasks": ["boolq"], "devices": {"count": devices}, "radio": {"range": 200.0}}
    return validate({**tree, **changes}, "the test")


def test_it_is_the_network_that_a_run_forms_and_progress_is_told() -> None:
    config = config_of(120)
    site = open_site(config)
    assert site is not None
    where, use, watch = geometry_of(site), expected(np.full((120, 1), 0.05), [1000]), list[Event]()
    planned = planned_network(config, where, BITS, use, config.clusters, watch.append)
    formed = RadioNetwork.form(where, BITS, use, config.clusters, config.graph, config.seed)
    assert planned.clusters == formed.clusters
    assert planned.linked == formed.linked
    assert planned.backbone.links == formed.backbone.links
    done = [event.done for event in watch if isinstance(event, Progress)]
    assert watch[0] == PhaseStarted("forming clusters", 120)
    assert done == sorted(done)
    assert len(done) > 1
    assert done[-1] == 120


@pytest.mark.parametrize(
    ("devices", "graph", "spectrum", "refused"),
    [
        (500, "ring", "orthogonal", False),
        (501, "ring", "orthogonal", True),
        (100, "ring", "shared", False),
        (101, "ring", "shared", True),
        (101, "full", "shared", False),  # nobody passes anything on
        (448, "full", "orthogonal", True),
        (447, "full", "orthogonal", False),
    ],
)
def test_as_many_devices_as_can_be_followed(devices: int, graph: str, spectrum: str, refused: bool) -> None:
    config = config_of(
        devices,
        radio={"spectrum": spectrum},
        clusters={"kind": "single"},
        graph={"kind": graph},
        places={"radius": 50.0},
    )
    site = open_site(config)
    assert site is not None
    where = geometry_of(site)
    bounds = link_bounds(where, BITS, None)
    if not refused:
        return check_followed(where.config, bounds, graph)
    with pytest.raises(UserError, match=rf"clusters\.kind=single of {devices} devices"):
        check_followed(where.config, bounds, graph)
