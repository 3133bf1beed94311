"""How devices find each other: a graph of free links, a network over the air, and masks agreed on in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flying import LAYERS, RANK
from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.mask import collision_rate, top_positions
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Announcement
from meshtune.network.site import open_site
from meshtune.simulator.connecting import connect
from meshtune.topology.linked import Graph

SIZES = sizes(LAYERS, RANK)
PLACES = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]


def config(radio: Any = None, **changes: Any) -> RunConfig:
    tasks = [{"task": "boolq", "key": key} for key in "ab"]
    tree = {"tasks": tasks, "devices": {"count": 4}, "methods": ["bank", "paper"], "radio": radio, **changes}
    return validate(tree if radio is None else {**tree, "places": {"positions": PLACES}}, "the test")


def connected(settings: RunConfig) -> tuple[Graph, Any]:
    own = []
    for device in range(4):
        draw = np.random.default_rng(device)
        scores = [draw.random(size).astype("f4") + np.linspace(1, 0, size, dtype="f4") for size in SIZES]
        masks = tuple(top_positions(score, 30) for score in scores)
        recipe = Recipe(3, "orthogonal", device % 2, RANK)
        own.append(Announcement(device, "ab"[device % 2], 10, recipe, masks, scores=np.concatenate(scores)))
    factory = ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    return connect(settings, open_site(settings), own, LAYERS, factory)


@pytest.mark.parametrize(
    ("graph", "near"),
    [
        ({"kind": "full"}, {0: [1, 2, 3], 1: [0, 2, 3], 2: [0, 1, 3], 3: [0, 1, 2]}),
        ({"kind": "ring"}, {0: [1, 3], 1: [0, 2], 2: [1, 3], 3: [0, 2]}),
    ],
)
def test_free_links_are_those_of_the_graph(graph: dict[str, Any], near: dict[int, list[int]]) -> None:
    found, network = connected(config(graph=graph))
    assert network is None
    assert {device: list(others) for device, others in found.items()} == near


def test_a_random_graph_has_the_neighbours_and_the_seed_of_the_run() -> None:
    def drawn(seed: int, neighbours: int) -> Graph:
        return connected(config(graph={"kind": "random", "neighbours": neighbours}, seed=seed))[0]

    assert all(len(near) == 3 for near in drawn(1, 3).values())
    assert len({str(drawn(seed, 1)) for seed in range(8)}) > 1
    assert drawn(2, 1) == drawn(2, 1)


def test_over_the_air_the_network_says_who_hears_whom() -> None:
    clusters = {"s_max": 1.0, "most": 2}
    graph, network = connected(config({}, clusters=clusters))
    assert network.formed.clusters.clusters == ((0, 1), (2, 3))
    assert graph == network.formed.graph == {0: (1,), 1: (0, 2), 2: (1, 3), 3: (2,)}
    assert network.agreement is None


def test_groups_of_a_cluster_agree_on_masks_where_a_method_takes_them() -> None:
    clusters = {"s_max": 1.0, "most": 2, "masks": "negotiated"}
    _, network = connected(config({}, clusters=clusters))
    assert network.agreement.parts == ((0, 1), (2, 3))
    masks = network.agreement.masks
    for pair in ((0, 1), (2, 3)):
        assert collision_rate([masks[device] for device in pair], SIZES) == 0
    assert network.facts()["negotiated"]["among"] == [[0, 1], [2, 3]]
    assert connected(config({}, clusters=clusters, methods=["bank"]))[1].agreement is None
